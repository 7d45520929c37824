"""What becomes of a turn that could not be answered: when it is tried again, or that it is given up."""

import random
from dataclasses import dataclass, field
from typing import Final

import structlog

from server.core.owed import OwedTurn, Pause
from server.core.retrying import Backoff, FailureKind
from server.ports import MessageStore, ResponderFailed, StoreUnavailable
from server.protocol import ErrorCode, MessageType
from server.runtime.answers.dialogue import Dialogue
from server.runtime.answers.gate import Gate
from server.runtime.base.clock import now_ms
from server.runtime.base.metrics import Metrics
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.room import Room

log = structlog.get_logger()

NO_ANSWER_AFTER: Final = 3  # failures of a turn, or of the whole service, in a row
_NO_ANSWER_TEXT: Final = "The answer is taking longer than usual"
_NEVER_TEXT: Final = "No answer could be given"


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """`attempts`: failures of a turn's own after which it is given up; None: it never is."""

    backoff: Backoff = field(default_factory=Backoff)
    attempts: int | None = None


class Failures:
    """Judges failures. `gate`: of the service, where one answers."""

    def __init__(
        self,
        store: MessageStore,
        fan_out: FanOut,
        metrics: Metrics,
        policy: RetryPolicy,
        gate: Gate | None = None,
    ) -> None:
        self._store = store
        self._fan_out = fan_out
        self._metrics = metrics
        self._policy = policy
        self._gate = gate

    async def note(self, dialogue: Dialogue, fault: Exception) -> float:
        """Return the seconds until the next try; 0 where the gate decides, or the turn is given up."""
        dialogue.failures += 1
        failed = fault if isinstance(fault, ResponderFailed) else None
        self.record(fault, dialogue.room.conversation_id, dialogue.failures)
        if failed is not None and dialogue.slot is not None and await self._is_down(dialogue, failed):
            return 0.0
        if failed is not None and not failed.kind.is_outage:
            dialogue.faults += 1
        most = self._policy.attempts
        if most is not None and dialogue.faults >= most and await self._give_up(dialogue, str(fault)):
            return 0.0
        is_refused = failed is not None and failed.kind is FailureKind.REFUSED
        retry_after = None if failed is None else failed.retry_after
        pause = self._policy.backoff.pause(dialogue.failures, random.random(), retry_after, is_refused)
        if dialogue.failures >= NO_ANSWER_AFTER:
            self.tell_no_answer(dialogue, pause)
        await self._keep(dialogue, str(fault), pause)
        return pause

    def record(self, fault: Exception, conversation_id: str, failures: int) -> None:
        """Have a failure counted, kept for /stats/errors and logged."""
        kind = fault.kind if isinstance(fault, ResponderFailed) else FailureKind.UPSTREAM_ERROR
        self._metrics.ai_failures[kind] += 1
        text = f"no answer could be given: {fault}"
        self._metrics.record_error(ErrorCode.UPSTREAM_ERROR, text, conversation_id=conversation_id, kind=kind)
        is_ours = not isinstance(fault, ResponderFailed | StoreUnavailable)
        (log.error if is_ours or kind is FailureKind.REFUSED else log.warning)(
            "no answer",
            conversation_id=conversation_id,
            failures=failures,
            kind=kind,
            error=str(fault),
            exc_info=fault if is_ours else None,
        )

    def tell_no_answer(self, dialogue: Dialogue, retry_in: float) -> None:
        """Tell the devices once that the answer takes longer."""
        if not dialogue.is_told:
            dialogue.is_told = True
            self._tell(dialogue.room, _NO_ANSWER_TEXT, round(retry_in, 3))

    async def stop_all(self, why: str) -> None:
        """Stop all deliveries until an operator resumes them. Where the store fails, for this process."""
        assert self._gate is not None
        self._gate.shut()
        log.error("the AI service wants nothing more: all deliveries are paused", error=why)
        try:
            await self._store.pause(Pause(now_ms(), why))
        except StoreUnavailable as fault:
            log.warning("the pause could not be kept", error=str(fault))

    async def owed(self, room: Room) -> OwedTurn | None:
        """Read what the conversation owes. Raises StoreUnavailable."""
        found = await self._store.owed(room.key - 1, 1)
        return found[0] if found and found[0].conversation_key == room.key else None

    async def _is_down(self, dialogue: Dialogue, failed: ResponderFailed) -> bool:
        """Tell whether all calls wait now, this turn's too."""
        assert dialogue.slot is not None
        if failed.kind is FailureKind.GONE:
            await self.stop_all(str(failed))
            return True
        return dialogue.slot.failed(failed)

    async def _give_up(self, dialogue: Dialogue, error: str) -> bool:
        """Make the turn a dead letter, and go on with the next one; False where the store fails."""
        try:
            owed = dialogue.owed or await self.owed(dialogue.room)
            if owed is not None:
                await self._store.give_up(owed.failed(dialogue.faults, 0, error), now_ms())
        except StoreUnavailable:
            log.warning("a turn could not be given up", conversation_id=dialogue.room.conversation_id)
            return False
        log.error("a turn was given up", conversation_id=dialogue.room.conversation_id, error=error)
        self._tell(dialogue.room, _NEVER_TEXT, None)
        dialogue.begin_anew()
        dialogue.retracted = 0
        return True

    async def _keep(self, dialogue: Dialogue, error: str, pause: float) -> None:
        """Have the store remember how often the turn was tried: devices are told once, also over restarts."""
        attempts = dialogue.failures if self._policy.attempts is None else dialogue.faults
        try:
            owed = dialogue.owed or await self.owed(dialogue.room)
            if owed is not None:
                dialogue.owed = owed.failed(attempts, now_ms() + int(pause * 1000), error)
                await self._store.note_attempt(dialogue.owed)
        except StoreUnavailable:
            log.warning("a turn's failure could not be kept", conversation_id=dialogue.room.conversation_id)

    def _tell(self, room: Room, text: str, retry_in: float | None) -> None:
        data = {"event": "no_answer", "text": text, "retry_in": retry_in}
        self._fan_out.signal(room, MessageType.SYSTEM, data)
