"""AI turns where other nodes may answer the same conversation: one does at a time, and none is forgotten."""

import asyncio
import time
from functools import partial
from typing import Any, Final

import structlog

from server.core.owed import OwedTurn
from server.core.turn_rules import Turn
from server.ports import StoreUnavailable
from server.protocol import MessageType
from server.runtime.answers.attempt import Verdict
from server.runtime.answers.cluster.shared import Shared
from server.runtime.answers.dialogue import Dialogue
from server.runtime.answers.turns import MAX_RESUMED, RESUME_PAGE, Turns
from server.runtime.base.clock import now_ms
from server.runtime.rooms.room import Room

log = structlog.get_logger()

_AGAIN: Final = 0.5  # seconds until one looks again at what another node answers
_ROUND: Final = 10.0  # seconds between two looks at what nobody answers
_HURRIED_ROUND: Final = 2.0  # likewise after a node is gone, which may have owed
_HURRY: Final = 30.0  # seconds for which rounds are hurried
_SLACK: Final = 1.0  # seconds by which a node may be late with a turn that it will answer
# While the backplane is away it is not known who answers what: only what is really late is taken over.
_ALONE: Final = 60.0  # seconds


class _AnsweredElsewhere(Exception):
    """Another node answers in this conversation."""


class NodeTurns(Turns):
    """The node where a message is saved answers its turn; another one does if that node is no more."""

    def __init__(self, *parts: Any, shared: Shared) -> None:
        """`parts`: those of Turns."""
        super().__init__(*parts)
        cluster = self._cluster = shared.cluster
        self._leases = shared.leases
        self._heard = shared.heard
        self._lost: set[Dialogue] = set()  # taken back, since another node may answer now
        self._look = asyncio.Event()
        self._hurried_until = time.monotonic() + _HURRY
        cluster.members.when_gone(self._node_gone)
        cluster.members.when_woken(self.forsake_all)
        cluster.fan_out.when_heard(self._message_heard)

    # ---- what is said on other nodes ----------------------------------------------------------------

    def _message_heard(self, room: Room, seq: int, type: str, message_id: str) -> None:
        """Hear of a message that another node saved, and whose turn that one opens."""
        if type == MessageType.CHAT_MESSAGE and room in self._dialogues:
            self.message_saved(room, seq)

    def _open(self, room: Room) -> Dialogue:
        self._background.run(self._cluster.channels.listen(room), "listen")
        return super()._open(room)

    # ---- one node at a time -------------------------------------------------------------------------

    async def _take_turn(self, dialogue: Dialogue) -> bool:
        lost = partial(self._take_back, dialogue)
        async with self._leases.kept(_lease(dialogue.room), lost) as is_ours:
            if not is_ours:
                raise _AnsweredElsewhere
            await self._look_again(dialogue)
            try:
                return await super()._take_turn(dialogue)
            finally:
                self._lost.discard(dialogue)

    async def _look_again(self, dialogue: Dialogue) -> None:
        """Take over what another node may have done about the turn meanwhile."""
        if dialogue.owed is None and not self._config.fixes_turns:
            return
        owed = await self._failures.owed(dialogue.room)
        if dialogue.owed is not None and (owed is None or owed.first_seq != dialogue.owed.first_seq):
            dialogue.begin_anew()
            dialogue.retracted = 0
        dialogue.owed = owed

    async def _settle(self, dialogue: Dialogue, seq: int, verdict: Verdict) -> None:
        if dialogue in self._lost and verdict is Verdict.TAKEN_BACK:
            raise _AnsweredElsewhere
        await super()._settle(dialogue, seq, verdict)

    async def _judge(self, dialogue: Dialogue, fault: Exception) -> float:
        if isinstance(fault, _AnsweredElsewhere):
            return _AGAIN
        return await super()._judge(dialogue, fault)

    async def _try(self, dialogue: Dialogue, turn: Turn, is_first: bool) -> Verdict:
        if self._heard.is_answered(dialogue.room, turn.last_seq):
            raise _AnsweredElsewhere  # it has not heard yet that the lease is ours, or needs none
        return await super()._try(dialogue, turn, is_first)

    def _answer_id(self, dialogue: Dialogue, seq: int) -> str:
        """Pass over the names under which devices were shown what a node that died had written."""
        while self._heard.was_taken_back(dialogue.room, dialogue.answer_id(seq)):
            dialogue.retracted += 1
        return super()._answer_id(dialogue, seq)

    def forsake_all(self) -> None:
        """Take back what is being written: this node was away for so long that others answer now."""
        for dialogue in list(self._dialogues.values()):
            self._take_back(dialogue)

    def _take_back(self, dialogue: Dialogue) -> None:
        if dialogue.attempt is not None:
            self._lost.add(dialogue)
            dialogue.attempt.interrupt(keeps_shown=False)

    # ---- what nobody answers ------------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up what no node answers, again and again, until cancelled."""
        while True:
            self._look.clear()
            try:
                await self._claim()
            except StoreUnavailable as fault:
                log.warning("unanswered messages could not be read", error=str(fault))
            is_hurried = time.monotonic() < self._hurried_until
            try:
                async with asyncio.timeout(_HURRIED_ROUND if is_hurried else _ROUND):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _node_gone(self, node_id: str) -> None:
        self._hurried_until = time.monotonic() + _HURRY
        self._look.set()

    async def _claim(self) -> None:
        """Open the dialogues that are late, a page at a time."""
        late = self._config.max_wait + _SLACK if self._cluster.backplane.is_connected else _ALONE
        before, after = now_ms() - int(late * 1000), 0
        while len(self._dialogues) < MAX_RESUMED:
            page = await self._store.owed(after, RESUME_PAGE, before)
            for owed in page:
                await self._claim_turn(owed)
                after = owed.conversation_key
            if len(page) < RESUME_PAGE:
                return

    async def _claim_turn(self, owed: OwedTurn) -> None:
        room = self._manager.room(owed.conversation_id)
        if room not in self._dialogues and await self._leases.take(_lease_of(owed.conversation_id)):
            await self._resume(owed)


def _lease(room: Room) -> str:
    return _lease_of(room.conversation_id)


def _lease_of(conversation_id: str) -> str:
    return f"turn:{conversation_id}"
