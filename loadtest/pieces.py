"""What devices see of answers that are written piece by piece, held against what was written.

Like the ledger it does no I/O and reads no clock: times are arguments, in seconds of any one clock. Lengths
are counted in code points.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from loadtest.plan import ONE_WINS, PIECES_JOIN
from server.protocol import Finish

Verdict = Literal["stopped", "too late"]
Violated = Callable[[str, str], None]
"""Told of each broken invariant: its name, and how it was broken."""

_UNSEEN: Final = ""


@dataclass(slots=True)
class _Answer:
    text: str | None  # None: an AI service writes it, and what it will be is not known
    ends: list[int] = field(default_factory=list)  # code points up to the end of each piece written so far
    dues: list[float] = field(default_factory=list)  # when each of them was to go out
    shown: dict[str, str] = field(default_factory=dict)  # by device; absent where it has joined since
    cancelled_at: float | None = None
    verdict: Verdict | None = None
    finals: set[tuple[str, str | None]] = field(default_factory=set)  # text and finish, as devices saw them


class Pieces:
    """The account of one conversation's streamed answers.

    `has_service`: an AI service answers in it, which may break an answer off.
    """

    def __init__(self, violated: Violated, has_service: bool = False) -> None:
        self._violated = violated
        self._has_service = has_service
        self._told: set[str] = set()
        self._answers: dict[str, _Answer] = {}

    # What the writer tells

    def begin(self, message_id: str, text: str) -> None:
        """An answer is going to be written; `text` is the whole of it."""
        self._answers[message_id] = _Answer(text)

    def wrote(self, message_id: str, end: int, due: float) -> None:
        """The piece that ends at `end` goes out; it was due at `due`."""
        answer = self._answers[message_id]
        answer.ends.append(end)
        answer.dues.append(due)

    def is_shown(self, message_id: str) -> bool:
        """Whether a device has been shown any of it."""
        return any(self._answers[message_id].shown.values())

    def due_of_end(self, message_id: str) -> float | None:
        """When the newest piece of an answer was due; None of one that is not written in pieces."""
        answer = self._answers.get(message_id)
        return answer.dues[-1] if answer and answer.dues else None

    def is_over(self, message_id: str) -> bool:
        """Whether a device has seen its end."""
        return bool(self._answers[message_id].finals)

    def cancelled(self, message_id: str, at: float) -> None:
        """A device asks to stop it."""
        self._answers[message_id].cancelled_at = at

    def settled(self, message_id: str, verdict: Verdict) -> None:
        """The server has answered that it is stopped, or that there was nothing to stop."""
        self._answers[message_id].verdict = verdict

    # What the devices tell

    def joined(self, device: str) -> None:
        """The device has a new connection, and begins anew with what is being written."""
        for answer in self._answers.values():
            answer.shown.pop(device, None)

    def saw(self, device: str, message_id: str, so_far: str) -> list[float]:
        """A device has so much of an answer. Returns when the pieces that it has now first were due."""
        if self._has_service:
            self._answers.setdefault(message_id, _Answer(None))
        answer = self._answers.get(message_id)
        if answer is None:
            return []
        if answer.text is not None and not answer.text.startswith(so_far):
            self._tell(PIECES_JOIN, f"{message_id}: {device} shows another text than was written")
        before = len(answer.shown.get(device, _UNSEEN))
        answer.shown[device] = so_far
        first, end = bisect_right(answer.ends, before), bisect_right(answer.ends, len(so_far))
        return answer.dues[first:end]

    def misplaced(self, device: str, message_id: str) -> None:
        """A device got a piece that leaves a hole, overlaps, or comes after the end."""
        self._tell(PIECES_JOIN, f"{message_id}: {device} got a piece out of place")

    def aborted(self, device: str, message_id: str) -> None:
        """A device was told to forget an answer."""
        if self._has_service:
            self._answers.pop(message_id, None)
            return
        self._tell(PIECES_JOIN, f"{message_id}: {device} was told to forget it")

    def ended(
        self, device: str, message_id: str, text: object, finish: str | None, at: float
    ) -> float | None:
        """A device saw the saved answer. Returns how long after the cancel, for one that was stopped."""
        answer = self._answers.get(message_id)
        if answer is None:
            return None
        answer.finals.add((str(text), finish))
        if text != answer.shown.get(device, text):
            self._tell(PIECES_JOIN, f"{message_id}: {device} was shown another text than was saved")
        if finish == Finish.CANCELLED and answer.cancelled_at is not None:
            return at - answer.cancelled_at
        return None

    # The end

    def judge(self) -> None:
        """Holds how answers ended against what was asked; to be called once, when all devices are done."""
        for message_id, answer in self._answers.items():
            for text, finish in answer.finals:
                if (fault := _fault(answer, text, finish)) is not None:
                    self._tell(ONE_WINS, f"{message_id}: {fault}")

    def _tell(self, invariant: str, how: str) -> None:
        """The first time in a conversation: a lost piece puts all that follow out of place."""
        if invariant not in self._told:
            self._told.add(invariant)
            self._violated(invariant, how)


def _fault(answer: _Answer, text: str, finish: str | None) -> str | None:
    if answer.text is None:
        return None
    if finish == Finish.CANCELLED:
        return "saved as cancelled, though nobody stopped it" if answer.verdict != "stopped" else None
    if answer.verdict == "stopped":
        return "the cancel was ACKed, and the answer went on"
    if finish is not None or text != answer.text:
        return f"nobody stopped it, but it is not whole (finish {finish})"
    return None
