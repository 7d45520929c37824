"""Turns of the AI service, held against the history: none lost, doubled, out of order or answered twice.

It does no I/O.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from loadtest.plan import ANSWERED_ONCE, IN_ONE_TURN, TURNS_IN_ORDER
from loadtest.service.account import Delivery, Said
from server.protocol import MessageType, answered_seq_of

Frame = dict[str, Any]
Broken = tuple[str, str]
"""An invariant, and how it was broken."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """All deliveries of one turn, at least one."""

    deliveries: list[Delivery]

    @property
    def name(self) -> str:
        return self.deliveries[0].turn

    @property
    def messages(self) -> list[Said]:
        return self.deliveries[0].messages

    @property
    def first_seq(self) -> int:
        return self.messages[0].seq

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq

    @property
    def taken(self) -> int | None:
        """When it was taken for the first time."""
        return min((each.taken for each in self.deliveries if each.taken is not None), default=None)

    @property
    def answers(self) -> set[str]:
        return {text for each in self.deliveries for text in each.answers}


def broken(history: Sequence[Frame], deliveries: Sequence[Delivery]) -> list[Broken]:
    """Find what is wrong with the turns of one conversation. `deliveries`: in the order of their arrival."""
    turns = _turns(deliveries)
    taken = [turn for turn in turns if turn.taken is not None]
    return [*_not_in_one_turn(history, taken), *_out_of_order(turns), *_not_answered_once(history, taken)]


def _turns(deliveries: Sequence[Delivery]) -> list[_Turn]:
    by_name: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_name[delivery.turn].append(delivery)
    return [_Turn(each) for each in by_name.values()]


def _not_in_one_turn(history: Sequence[Frame], taken: Sequence[_Turn]) -> Iterator[Broken]:
    said = {
        frame["seq"]: Said(frame["seq"], frame["message_id"], frame["data"])
        for frame in history
        if _is_users(frame)
    }
    counts = Counter(message.seq for turn in taken for message in turn.messages)
    for seq, message in said.items():
        if counts[seq] != 1:
            yield IN_ONE_TURN, f"seq {seq} ({message.message_id}) is in {counts[seq]} turns that were taken"
    for turn in taken:
        for message in turn.messages:
            if said.get(message.seq) != message:
                yield IN_ONE_TURN, f"{turn.name} has {message}, the history {said.get(message.seq)}"


def _out_of_order(turns: Sequence[_Turn]) -> Iterator[Broken]:
    for turn in turns:
        seqs = [message.seq for message in turn.messages]
        if seqs != sorted(set(seqs)):
            yield TURNS_IN_ORDER, f"{turn.name} has the seqs {seqs}"
        if any(each.messages != turn.messages for each in turn.deliveries):
            yield TURNS_IN_ORDER, f"{turn.name} had other messages at another try"
    for before, after in pairwise(turns):
        if after.first_seq <= before.last_seq:
            yield TURNS_IN_ORDER, f"{after.name} came after {before.name}"
        elif before.taken is None or before.taken > after.deliveries[0].arrived:
            yield TURNS_IN_ORDER, f"{after.name} came before {before.name} was taken"


def _not_answered_once(history: Sequence[Frame], taken: Sequence[_Turn]) -> Iterator[Broken]:
    answers: dict[int, list[Frame]] = defaultdict(list)
    for frame in history:
        if frame["type"] == MessageType.AI_RESPONSE:
            answers[_answers(frame)].append(frame)
    for turn in taken:
        given = answers.pop(turn.last_seq, [])
        if len(given) != 1:
            yield ANSWERED_ONCE, f"{turn.name} has {len(given)} answers: {[it['message_id'] for it in given]}"
        for frame in given:
            if frame["data"] not in turn.answers:
                yield (
                    ANSWERED_ONCE,
                    f"{turn.name} is answered with {frame['data'][:60]!r}, not by the service",
                )
    for seq, given in answers.items():
        yield ANSWERED_ONCE, f"{[it['message_id'] for it in given]} answer no turn that ends with seq {seq}"


def _answers(frame: Frame) -> int:
    """The seq up to which a frame answers; 0: it answers nothing."""
    return (answered_seq_of(frame["message_id"]) or 0) if frame["type"] == MessageType.AI_RESPONSE else 0


def _is_users(frame: Frame) -> bool:
    return bool(frame["type"] == MessageType.CHAT_MESSAGE)
