"""AI turns: when the user has finished, the responder answers, one answer per conversation at a time."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog

from server.core.model import FRAME_FAILED, Position
from server.core.owed import OwedTurn
from server.core.retrying import Backoff, FailureKind
from server.core.signal_data import ReadUpTo
from server.core.turn_rules import OpenTurn, Turn
from server.ports import MessageStore, Responder, ResponderFailed, StoreUnavailable
from server.protocol import ErrorCode, MessageType
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.answers.attempt import Attempt, Verdict
from server.runtime.answers.streams import Streams
from server.runtime.base.background import Background
from server.runtime.base.clock import now_ms
from server.runtime.base.metrics import Metrics
from server.runtime.base.timers import Timers
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.trace import MessageTrace
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()

MAX_MESSAGES: Final = 200  # of one turn; the rest is the next one
_NO_ANSWER_AFTER: Final = 3  # failures of a turn
_NO_ANSWER_TEXT: Final = "The answer is taking longer than usual"
# Conversations that are taken up at a time after a start; the others wait in the store.
_MAX_RESUMED: Final = 1000
_RESUME_PAGE: Final = 200
_RESUME_PAUSE: Final = 0.5  # seconds between two looks at whether more can be taken up


@dataclass(slots=True, frozen=True)
class TurnConfig:
    """Times in seconds; `history` in messages."""

    wait: float = 0.8
    max_wait: float = 8.0
    history: int = 20
    interrupt: Literal["queue", "cancel", "rollback"] = "queue"
    typing_delay: tuple[float, float] = (1.0, 3.0)
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True, eq=False)
class _Dialogue:
    """A room with something to answer. Exactly one of: its turn is awaited, or `answering` runs."""

    room: Room
    turn: OpenTurn | None = None
    answering: "asyncio.Task[None] | None" = None
    attempt: Attempt | None = None
    failures: int = 0  # of this turn
    retracted: int = 0  # answers to this turn that were shown and taken back
    dismissed: int = 0  # the user wants no answer up to this seq
    owed: OwedTurn | None = None  # as the store has it, where it was tried before


class Turns:
    """Decides when each conversation's turn is answered. What is unanswered stands in the store."""

    def __init__(
        self,
        manager: ConnectionManager,
        conversations: Conversations,
        store: MessageStore,
        responder: Responder,
        speech: AISpeech,
        streams: Streams,
        fan_out: FanOut,
        typing: TypingRelay,
        receipts: Receipts,
        trace: MessageTrace,
        metrics: Metrics,
        background: Background,
        config: TurnConfig,
    ) -> None:
        self._manager = manager
        self._conversations = conversations
        self._store = store
        self._responder = responder
        self._speech = speech
        self._streams = streams
        self._fan_out = fan_out
        self._typing = typing
        self._receipts = receipts
        self._trace = trace
        self._metrics = metrics
        self._background = background
        self._config = config
        self._dialogues: dict[Room, _Dialogue] = {}
        self._ends: Timers[_Dialogue] = Timers(self._begin_answer)
        typing.when_changed(self._typing_changed)

    # ---- when a turn is over ------------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up what was left unanswered when the process ended, a page at a time."""
        after, failures = 0, 0
        while True:
            try:
                page = await self._store.owed(after, _RESUME_PAGE)
                for owed in page:
                    await self._resume(owed)
                    after = owed.conversation_key
                if len(page) < _RESUME_PAGE:
                    return
                failures = 0
            except StoreUnavailable as fault:
                failures += 1
                log.warning("unanswered messages could not be read", error=str(fault))
                await asyncio.sleep(self._config.backoff.pause(failures, random.random()))

    async def _resume(self, owed: OwedTurn) -> None:
        while len(self._dialogues) >= _MAX_RESUMED:  # noqa: ASYNC110  # who ends them has no event for it
            await asyncio.sleep(_RESUME_PAUSE)
        room = self._manager.hold(owed.conversation_id)
        try:
            if await self._conversations.find(room) is not None and room not in self._dialogues:
                dialogue = self._open(room)
                dialogue.owed, dialogue.failures = owed, owed.attempts
                pause = max(0.0, (owed.next_at - now_ms()) / 1000) if owed.attempts else 0.0
                self._ends.set(dialogue, time.monotonic() + pause)
        finally:
            self._manager.release(room)

    def message_saved(self, room: Room) -> None:
        """Hear of a user's message that came into the room."""
        dialogue = self._dialogues.get(room)
        if dialogue is None:
            dialogue = self._open(room)
        elif dialogue.turn is None:
            dialogue.turn = _new_turn()
        self._note_activity(dialogue)
        if dialogue.attempt is not None and self._config.interrupt != "queue":
            dialogue.attempt.interrupt(keeps_shown=self._config.interrupt == "cancel")

    def cancel(self, room: Room, message_id: str | None) -> bool:
        """Stop the answer that waits for the user or for another try; False where none does.

        One that is being written is a stream, which is cancelled as such.
        """
        dialogue = self._dialogues.get(room)
        if dialogue is None or message_id not in (None, _answer_id(room.last_seq, dialogue)):
            return False
        if dialogue.attempt is not None or dialogue.dismissed:
            return False
        dialogue.dismissed = room.last_seq
        self._typing.stop_ai(room)
        if dialogue.answering is None:
            self._ends.set(dialogue, time.monotonic())
        return True

    @property
    def waiting(self) -> int:
        """Conversations whose answer is awaited, prepared or written here."""
        return len(self._dialogues)

    def _open(self, room: Room) -> _Dialogue:
        dialogue = _Dialogue(self._manager.hold(room.conversation_id), _new_turn())
        self._dialogues[room] = dialogue
        return dialogue

    def _typing_changed(self, room: Room) -> None:
        if (dialogue := self._dialogues.get(room)) is not None:
            self._note_activity(dialogue)

    def _note_activity(self, dialogue: _Dialogue) -> None:
        """A turn that waits for another try waits no longer because the user goes on."""
        if dialogue.turn is not None and not dialogue.failures:
            is_typing = self._typing.is_user_typing(dialogue.room)
            dialogue.turn.quiet_since = None if is_typing else time.monotonic()
            self._await_end(dialogue)

    def _await_end(self, dialogue: _Dialogue) -> None:
        if dialogue.turn is not None and dialogue.answering is None:
            self._ends.set(dialogue, dialogue.turn.ends_at(self._config.wait, self._config.max_wait))

    def _begin_answer(self, dialogue: _Dialogue) -> None:
        dialogue.turn = None
        dialogue.answering = self._background.run(self._answer(dialogue), "answer")

    # ---- one answer ---------------------------------------------------------------------------------

    async def _answer(self, dialogue: _Dialogue) -> None:
        pause: float | None = None
        try:
            if not await self._take_turn(dialogue) and dialogue.turn is None:
                dialogue.turn = _new_turn()  # it was taken back, or there is more than one turn may hold
            dialogue.failures, dialogue.owed = 0, None
        except Exception as fault:
            pause = await self._note_failure(dialogue, fault)
        finally:
            self._typing.stop_ai(dialogue.room)
            dialogue.answering = dialogue.attempt = None
            self._go_on(dialogue, pause)

    def _go_on(self, dialogue: _Dialogue, pause: float | None) -> None:
        """Wait for the next turn or for another try, or let go of the conversation."""
        if dialogue.room.is_deleted or (pause is None and dialogue.turn is None):
            self._ends.drop(dialogue)
            del self._dialogues[dialogue.room]
            self._manager.release(dialogue.room)
        elif pause is None:
            self._await_end(dialogue)
        else:
            dialogue.turn = dialogue.turn or _new_turn()
            self._ends.set(dialogue, time.monotonic() + pause)

    async def _take_turn(self, dialogue: _Dialogue) -> bool:
        """Answer what is owed; False where some of it is still to be answered."""
        room = dialogue.room
        if self._is_dismissed(dialogue):
            return await self._dismiss(dialogue)
        found = await self._store.read_turn(room.key, MAX_MESSAGES, self._config.history)
        if found is None:
            return True
        if self._is_dismissed(dialogue):  # while the store was read
            return await self._dismiss(dialogue)
        assert room.conversation is not None
        turn = Turn(room.conversation, found.messages, found.history)
        verdict = await self._try(dialogue, turn)
        if verdict in (Verdict.ELSEWHERE, Verdict.CANCELLED):
            await self._receipts.advance(room, Position.ANSWERED, turn.last_seq)
        dialogue.retracted = 0
        return verdict is not Verdict.TAKEN_BACK and len(found.messages) < MAX_MESSAGES

    async def _try(self, dialogue: _Dialogue, turn: Turn) -> Verdict:
        room, loop = dialogue.room, asyncio.get_running_loop()
        typing_ends = loop.time()
        stream = self._streams.open(room, _answer_id(turn.last_seq, dialogue), answers=turn.last_seq)
        if stream is None:
            raise ResponderFailed("the answer is being written by somebody else", FailureKind.UPSTREAM_ERROR)
        if not dialogue.failures:
            typing_ends += random.uniform(*self._config.typing_delay)
        dialogue.attempt = Attempt(stream, self._responder, turn, typing_ends)
        try:
            if not dialogue.failures:
                await self._show_reading(room, turn)
            return await dialogue.attempt.run()
        finally:
            dialogue.attempt = None
            stream.abort(FRAME_FAILED)
            dialogue.retracted += stream.is_shown

    async def _show_reading(self, room: Room, turn: Turn) -> None:
        await self._receipts.ai_read(room, ReadUpTo(None, turn.last_seq))
        self._speech.begin_typing(room)
        self._trace.handed_over(room.key, turn.messages[0].seq, turn.last_seq)

    @staticmethod
    def _is_dismissed(dialogue: _Dialogue) -> bool:
        return dialogue.dismissed > 0

    async def _dismiss(self, dialogue: _Dialogue) -> bool:
        """Count as answered what the user wants no answer to."""
        room, seq = dialogue.room, dialogue.dismissed
        await self._receipts.advance(room, Position.ANSWERED, seq)
        dialogue.dismissed = 0
        self._streams.tell_aborted(room, _answer_id(seq, dialogue))
        return room.last_seq <= seq

    # ---- failures -----------------------------------------------------------------------------------

    async def _note_failure(self, dialogue: _Dialogue, fault: Exception) -> float:
        """Return the seconds until the next try."""
        dialogue.failures += 1
        failed = fault if isinstance(fault, ResponderFailed) else None
        is_refused = failed is not None and failed.kind is FailureKind.REFUSED
        retry_after = None if failed is None else failed.retry_after
        pause = self._config.backoff.pause(dialogue.failures, random.random(), retry_after, is_refused)
        self._record(dialogue, fault, failed, is_refused)
        if dialogue.failures == _NO_ANSWER_AFTER:
            self._tell_no_answer(dialogue.room, pause)
        await self._keep_attempts(dialogue, str(fault), pause)
        return pause

    def _record(
        self, dialogue: _Dialogue, fault: Exception, failed: ResponderFailed | None, is_refused: bool
    ) -> None:
        conversation_id = dialogue.room.conversation_id
        kind = FailureKind.UPSTREAM_ERROR if failed is None else failed.kind
        self._metrics.ai_failures[kind] += 1
        text = f"no answer could be given: {fault}"
        self._metrics.record_error(ErrorCode.UPSTREAM_ERROR, text, conversation_id=conversation_id, kind=kind)
        is_ours = not isinstance(fault, ResponderFailed | StoreUnavailable)
        (log.error if is_ours or is_refused else log.warning)(
            "no answer",
            conversation_id=conversation_id,
            failures=dialogue.failures,
            kind=kind,
            error=str(fault),
            exc_info=fault if is_ours else None,
        )

    def _tell_no_answer(self, room: Room, retry_in: float | None) -> None:
        data = {"event": "no_answer", "text": _NO_ANSWER_TEXT, "retry_in": retry_in and round(retry_in, 3)}
        self._fan_out.signal(room, MessageType.SYSTEM, data)

    async def _keep_attempts(self, dialogue: _Dialogue, error: str, pause: float) -> None:
        """Have the store remember how often the turn was tried: devices are told once, also over restarts."""
        try:
            owed = dialogue.owed or await self._owed(dialogue.room)
            if owed is not None:
                next_at = now_ms() + int(pause * 1000)
                await self._store.note_attempt(owed.failed(dialogue.failures, next_at, error))
        except StoreUnavailable:
            log.warning("a turn's failure could not be kept", conversation_id=dialogue.room.conversation_id)

    async def _owed(self, room: Room) -> OwedTurn | None:
        found = await self._store.owed(room.key - 1, 1)
        return found[0] if found and found[0].conversation_key == room.key else None


def _new_turn() -> OpenTurn:
    now = time.monotonic()
    return OpenTurn(now, now)


def _answer_id(seq: int, dialogue: _Dialogue) -> str:
    """Name the answer to a turn; after text was shown and taken back another name."""
    return f"answer-{seq}" if not dialogue.retracted else f"answer-{seq}-{dialogue.retracted + 1}"
