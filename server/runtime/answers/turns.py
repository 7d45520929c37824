"""AI turns: when the user has finished, the responder answers, one answer per conversation at a time."""

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import structlog

from server.core.model import FRAME_FAILED, Position
from server.core.owed import OwedTurn
from server.core.retrying import FailureKind
from server.core.signal_data import ReadUpTo
from server.core.turn_rules import Turn
from server.ports import MessageStore, Responder, ResponderFailed, StoreUnavailable
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.answers.attempt import Attempt, Verdict
from server.runtime.answers.dialogue import Dialogue, new_turn
from server.runtime.answers.failing import NO_ANSWER_AFTER, Failures, RetryPolicy
from server.runtime.answers.gate import Gate
from server.runtime.answers.streams import Streams
from server.runtime.base.background import Background
from server.runtime.base.clock import now_ms
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
# Conversations that are taken up at a time after a start; the others wait in the store.
MAX_RESUMED: Final = 1000
RESUME_PAGE: Final = 200
_RESUME_PAUSE: Final = 0.5  # seconds between two looks at whether more can be taken up


@dataclass(slots=True, frozen=True)
class TurnConfig:
    """Times in seconds; `history` in messages."""

    wait: float = 0.8
    max_wait: float = 8.0
    history: int = 20
    interrupt: Literal["queue", "cancel", "rollback"] = "queue"
    typing_delay: tuple[float, float] = (1.0, 3.0)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def fixes_turns(self) -> bool:
        """Tell whether a turn's first try decides which messages are in it: whoever may give it up must."""
        return self.retry.attempts is not None


class Turns:
    """Decides when each conversation's turn is answered. What is unanswered stands in the store.

    `patience`: seconds for which a turn that was taken by a service can be cancelled.
    """

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
        background: Background,
        config: TurnConfig,
        patience: float,
        failures: Failures,
        gate: Gate | None = None,
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
        self._background = background
        self._config = config
        self._patience = patience
        self._failures = failures
        self._gate = gate
        self._dialogues: dict[Room, Dialogue] = {}
        self._ends: Timers[Dialogue] = Timers(self._begin_answer)
        typing.when_changed_anywhere(self._typing_changed)
        if gate is not None:
            gate.when_down(self._service_is_down)

    # ---- when a turn is over ------------------------------------------------------------------------

    async def resume(self) -> None:
        """Take up what was left unanswered when the process ended, a page at a time."""
        after, failures = 0, 0
        while True:
            try:
                page = await self._store.owed(after, RESUME_PAGE)
                for owed in page:
                    await self._resume(owed)
                    after = owed.conversation_key
                if len(page) < RESUME_PAGE:
                    return
                failures = 0
            except StoreUnavailable as fault:
                failures += 1
                log.warning("unanswered messages could not be read", error=str(fault))
                await asyncio.sleep(self._config.retry.backoff.pause(failures, random.random()))

    async def _resume(self, owed: OwedTurn) -> None:
        while len(self._dialogues) >= MAX_RESUMED:  # noqa: ASYNC110  # who ends them has no event for it
            await asyncio.sleep(_RESUME_PAUSE)
        room = self._manager.hold(owed.conversation_id)
        try:
            if await self._conversations.find(room) is not None and room not in self._dialogues:
                dialogue = self._open(room)
                dialogue.owed, dialogue.failures, dialogue.faults = owed, owed.attempts, owed.attempts
                dialogue.is_told = owed.attempts >= NO_ANSWER_AFTER
                pause = max(0.0, (owed.next_at - now_ms()) / 1000) if owed.attempts else 0.0
                self._ends.set(dialogue, time.monotonic() + pause)
        finally:
            self._manager.release(room)

    def message_saved(self, room: Room, seq: int) -> None:
        """Hear of a user's message that came into the room."""
        dialogue = self._dialogues.get(room)
        if dialogue is None:
            dialogue = self._open(room)
        elif dialogue.turn is None:
            dialogue.turn = new_turn()
        dialogue.newest = seq
        self._note_activity(dialogue)
        if dialogue.attempt is not None and self._config.interrupt != "queue":
            dialogue.attempt.interrupt(keeps_shown=self._config.interrupt == "cancel")

    def cancel(self, room: Room, message_id: str | None) -> bool:
        """Stop the answer that waits for the user or for another try; False where none does.

        One that is being written is a stream, which is cancelled as such.
        """
        dialogue = self._dialogues.get(room)
        if dialogue is None or message_id not in (None, dialogue.answer_id(_end_of(dialogue))):
            return False
        if dialogue.attempt is not None or dialogue.dismissed:
            return False
        dialogue.dismissed = _end_of(dialogue)
        self._typing.stop_ai(room)
        if dialogue.ticket is not None:
            Gate.withdraw(dialogue.ticket)
        elif dialogue.answering is None:
            self._ends.set(dialogue, time.monotonic())
        return True

    @property
    def waiting(self) -> int:
        """Conversations whose answer is awaited, prepared or written here."""
        return len(self._dialogues)

    def _open(self, room: Room) -> Dialogue:
        dialogue = Dialogue(self._manager.hold(room.conversation_id), new_turn())
        self._dialogues[room] = dialogue
        return dialogue

    def _typing_changed(self, room: Room) -> None:
        if (dialogue := self._dialogues.get(room)) is not None:
            self._note_activity(dialogue)

    def _note_activity(self, dialogue: Dialogue) -> None:
        """A turn that waits for another try waits no longer because the user goes on."""
        if dialogue.turn is not None and not dialogue.failures:
            is_typing = self._typing.is_user_typing(dialogue.room)
            dialogue.turn.quiet_since = None if is_typing else time.monotonic()
            self._await_end(dialogue)

    def _await_end(self, dialogue: Dialogue) -> None:
        if dialogue.turn is not None and dialogue.answering is None:
            self._ends.set(dialogue, dialogue.turn.ends_at(self._config.wait, self._config.max_wait))

    def _begin_answer(self, dialogue: Dialogue) -> None:
        dialogue.turn = None
        dialogue.answering = self._background.run(self._answer(dialogue), "answer")

    # ---- one answer ---------------------------------------------------------------------------------

    async def _answer(self, dialogue: Dialogue) -> None:
        pause: float | None = None
        try:
            await self._enter(dialogue)
            if not await self._take_turn(dialogue) and dialogue.turn is None:
                dialogue.turn = new_turn()  # it was taken back, or there is more than one turn may hold
            dialogue.begin_anew()
        except Exception as fault:
            pause = await self._judge(dialogue, fault)
        finally:
            if dialogue.slot is not None:
                dialogue.slot.over()
            dialogue.answering = dialogue.attempt = dialogue.slot = None
            self._go_on(dialogue, pause)

    async def _judge(self, dialogue: Dialogue, fault: Exception) -> float:
        """Return the seconds until the next try."""
        self._typing.stop_ai(dialogue.room)
        return await self._failures.note(dialogue, fault)

    async def _enter(self, dialogue: Dialogue) -> None:
        """Wait until the service may be called, where one answers, or the user wants no answer any more."""
        if self._gate is not None and not dialogue.dismissed:
            dialogue.ticket = self._gate.enter()
            self._tell_of_outage(dialogue)
            dialogue.slot = await dialogue.ticket
            dialogue.ticket = None

    def _service_is_down(self) -> None:
        for dialogue in self._dialogues.values():
            self._tell_of_outage(dialogue)

    def _tell_of_outage(self, dialogue: Dialogue) -> None:
        """Let those hear of it who wait for it."""
        assert self._gate is not None
        if self._gate.failures >= NO_ANSWER_AFTER and dialogue.ticket is not None:
            self._failures.tell_no_answer(dialogue, self._gate.next_probe)

    def _go_on(self, dialogue: Dialogue, pause: float | None) -> None:
        """Wait for the next turn or for another try, or let go of the conversation."""
        if dialogue.room.is_deleted or (pause is None and dialogue.turn is None):
            self._ends.drop(dialogue)
            del self._dialogues[dialogue.room]
            self._manager.release(dialogue.room)
        elif pause is None:
            self._await_end(dialogue)
        else:
            dialogue.turn = dialogue.turn or new_turn()
            self._ends.set(dialogue, time.monotonic() + pause)

    async def _take_turn(self, dialogue: Dialogue) -> bool:
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
        is_first = not dialogue.failures and not (dialogue.owed and dialogue.owed.last_seq)
        await self._fix(dialogue, turn)
        if self._is_dismissed(dialogue):  # while that was written
            return await self._dismiss(dialogue)
        verdict = await self._try(dialogue, turn, is_first)
        await self._settle(dialogue, turn.last_seq, verdict)
        is_all = len(found.messages) < MAX_MESSAGES and (is_first or not self._config.fixes_turns)
        return verdict is not Verdict.TAKEN_BACK and is_all

    async def _fix(self, dialogue: Dialogue, turn: Turn) -> None:
        """Have the store keep which messages are in the turn, before its first try."""
        if not self._config.fixes_turns:
            return
        if dialogue.owed is None:
            dialogue.owed = await self._failures.owed(dialogue.room)
        if dialogue.owed is not None and dialogue.owed.last_seq is None:
            dialogue.owed = replace(dialogue.owed, last_seq=turn.last_seq)
            await self._store.note_attempt(dialogue.owed)

    async def _settle(self, dialogue: Dialogue, seq: int, verdict: Verdict) -> None:
        """Do what the end of a try asks for; `seq` is the turn's last."""
        room, is_awaited = dialogue.room, False
        if verdict is Verdict.ELSEWHERE:
            is_awaited = await self._store.take(room.key, seq, now_ms() + int(self._patience * 1000))
        elif verdict is Verdict.CANCELLED:
            await self._receipts.advance(room, Position.ANSWERED, seq)
        elif verdict is Verdict.TAKEN_BACK and dialogue.owed is not None and dialogue.owed.last_seq:
            await self._store.note_attempt(replace(dialogue.owed, last_seq=None, attempts=0))
        if not is_awaited:
            self._typing.stop_ai(room)
        dialogue.retracted = 0

    async def _try(self, dialogue: Dialogue, turn: Turn, is_first: bool) -> Verdict:
        room, loop = dialogue.room, asyncio.get_running_loop()
        typing_ends = loop.time()
        stream = self._streams.open(room, self._answer_id(dialogue, turn.last_seq), answers=turn.last_seq)
        if stream is None:
            raise ResponderFailed("the answer is being written by somebody else", FailureKind.UPSTREAM_ERROR)
        if is_first:
            typing_ends += random.uniform(*self._config.typing_delay)
        dialogue.attempt = Attempt(stream, self._responder, turn, typing_ends, dialogue.slot)
        try:
            # By REST it may have been answered since it was read; from the stream's opening on that is seen.
            if self._config.fixes_turns and await self._store.is_answered(room.key, turn.last_seq):
                return Verdict.ANSWERED
            if is_first:
                await self._show_reading(room, turn)
            return await dialogue.attempt.run()
        finally:
            dialogue.attempt = None
            stream.abort(FRAME_FAILED)
            dialogue.retracted += stream.is_shown

    def _answer_id(self, dialogue: Dialogue, seq: int) -> str:
        return dialogue.answer_id(seq)

    async def _show_reading(self, room: Room, turn: Turn) -> None:
        await self._receipts.ai_read(room, ReadUpTo(None, turn.last_seq))
        self._speech.begin_typing(room)
        self._trace.handed_over(room.key, turn.messages[0].seq, turn.last_seq)

    @staticmethod
    def _is_dismissed(dialogue: Dialogue) -> bool:
        return dialogue.dismissed > 0

    async def _dismiss(self, dialogue: Dialogue) -> bool:
        """Count as answered what the user wants no answer to."""
        room, seq = dialogue.room, dialogue.dismissed
        await self._receipts.advance(room, Position.ANSWERED, seq)
        dialogue.dismissed = 0
        self._streams.tell_aborted(room, dialogue.answer_id(seq))
        return room.last_seq <= seq


def _end_of(dialogue: Dialogue) -> int:
    """The seq up to which its turn goes."""
    owed = dialogue.owed
    if owed is not None and owed.last_seq is not None:
        return owed.last_seq
    return dialogue.newest or dialogue.room.last_seq
