"""AI turns: when the user has finished, the responder answers, one answer per conversation at a time."""

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from server.core.model import Position, Refused
from server.core.signal_data import ReadUpTo
from server.core.turn_rules import OpenTurn, Turn
from server.ports import MessageStore, Responder, ResponderFailed, StoreUnavailable
from server.protocol import ErrorCode, Finish
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.base.background import Background
from server.runtime.base.metrics import Metrics
from server.runtime.base.timers import Timers
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.trace import MessageTrace
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()

_MAX_BURST: Final = 200  # messages of one turn that the responder is given
_RETRY_SECONDS: Final = (1.0, 60.0)  # before the second try, and at most
_PAGE: Final = 200  # turns that are read at once at the start


@dataclass(slots=True, frozen=True)
class TurnConfig:
    """Times in seconds; `history` in messages."""

    wait: float = 0.8
    max_wait: float = 8.0
    history: int = 20
    cancels: bool = False  # a message during an answer stops it, for a new one to both


@dataclass(slots=True, eq=False)
class _Dialogue:
    """A room with something to answer."""

    room: Room
    turn: OpenTurn | None = None
    answering: "asyncio.Task[None] | None" = None
    is_speaking: bool = False  # the answer is being saved: too late to stop it
    failures: int = 0  # in a row


class Turns:
    """What is unanswered stands in the store, so that it is answered after a restart too."""

    def __init__(
        self,
        manager: ConnectionManager,
        conversations: Conversations,
        store: MessageStore,
        responder: Responder,
        speech: AISpeech,
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
        self._typing = typing
        self._receipts = receipts
        self._trace = trace
        self._metrics = metrics
        self._background = background
        self._config = config
        self._dialogues: dict[Room, _Dialogue] = {}
        self._ends: Timers[_Dialogue] = Timers(self._begin_answer)
        typing.when_changed(self._typing_changed)

    async def resume(self) -> None:
        """Takes up what was left unanswered when the process ended."""
        after = 0
        while True:
            try:
                page = await self._store.owed(after, _PAGE)
                for owed in page:
                    await self._take_up(owed.conversation_id)
                    after = owed.conversation_key
            except StoreUnavailable as fault:
                log.warning("unanswered messages could not be read", error=str(fault))
                await asyncio.sleep(_RETRY_SECONDS[0])
                continue
            if not page:
                return

    async def _take_up(self, conversation_id: str) -> None:
        room = self._manager.hold(conversation_id)
        try:
            if await self._conversations.find(room) is not None:
                self.message_saved(room)
        finally:
            self._manager.release(room)

    def message_saved(self, room: Room) -> None:
        """A user's message came into the room."""
        dialogue = self._dialogues.get(room)
        if dialogue is None:
            dialogue = self._dialogues[room] = _Dialogue(self._manager.hold(room.conversation_id))
        if dialogue.turn is None:
            now = time.monotonic()
            dialogue.turn = OpenTurn(now, now)
        self._note_activity(dialogue)
        if self._config.cancels and dialogue.answering is not None and not dialogue.is_speaking:
            dialogue.answering.cancel()

    def _typing_changed(self, room: Room) -> None:
        if (dialogue := self._dialogues.get(room)) is not None:
            self._note_activity(dialogue)

    def _note_activity(self, dialogue: _Dialogue) -> None:
        if dialogue.turn is not None:
            is_typing = self._typing.is_user_typing(dialogue.room)
            dialogue.turn.quiet_since = None if is_typing else time.monotonic()
            self._await_end(dialogue)

    def _await_end(self, dialogue: _Dialogue) -> None:
        if dialogue.turn is not None and dialogue.answering is None:
            self._ends.set(dialogue, dialogue.turn.ends_at(self._config.wait, self._config.max_wait))

    def _begin_answer(self, dialogue: _Dialogue) -> None:
        dialogue.turn = None
        dialogue.answering = self._background.run(self._answer(dialogue), "answer")

    async def _answer(self, dialogue: _Dialogue) -> None:
        room = dialogue.room
        try:
            await self._take_turn(dialogue)
            dialogue.failures = 0
        except (ResponderFailed, StoreUnavailable) as fault:
            self._note_failure(dialogue, fault)
        finally:
            self._typing.stop_ai(room)
            dialogue.answering, dialogue.is_speaking = None, False
            self._go_on(dialogue)

    def _go_on(self, dialogue: _Dialogue) -> None:
        """After an answer: the next turn, another try, or nothing to do for now."""
        if dialogue.turn is not None:
            self._await_end(dialogue)
        elif dialogue.failures and not dialogue.room.is_deleted:
            first, longest = _RETRY_SECONDS
            pause = min(longest, first * 2 ** (dialogue.failures - 1)) * random.uniform(0.8, 1.2)
            dialogue.turn = OpenTurn(time.monotonic(), time.monotonic())
            self._ends.set(dialogue, time.monotonic() + pause)
        else:
            del self._dialogues[dialogue.room]
            self._manager.release(dialogue.room)

    async def _take_turn(self, dialogue: _Dialogue) -> None:
        room = dialogue.room
        turn = await self._read_turn(room)
        if turn is None:
            return
        await self._receipts.ai_read(room, ReadUpTo(None, turn.last_seq))
        self._trace.handed_over(room.key, turn.messages[0].seq, turn.last_seq)
        text = await self._write(room, turn)
        dialogue.is_speaking = True
        if not text or not await self._say(room, turn, text):
            await self._receipts.advance(room, Position.ANSWERED, turn.last_seq)
        if len(turn.messages) == _MAX_BURST and dialogue.turn is None:  # there may be more
            dialogue.turn = OpenTurn(time.monotonic(), time.monotonic())

    async def _read_turn(self, room: Room) -> Turn | None:
        assert room.conversation is not None
        found = await self._store.read_turn(room.key, _MAX_BURST, self._config.history)
        return None if found is None else Turn(room.conversation, *found)

    async def _write(self, room: Room, turn: Turn) -> str:
        """The answer, written while the AI is seen typing; empty when it comes another way."""
        writing = asyncio.create_task(self._collect(turn))
        try:
            await self._speech.show_typing(room)
            return await writing
        finally:
            writing.cancel()

    async def _collect(self, turn: Turn) -> str:
        async with aclosing(self._responder.answer(turn)) as pieces:
            return "".join([piece async for piece in pieces if not isinstance(piece, Finish)])

    async def _say(self, room: Room, turn: Turn, text: str) -> bool:
        """Saves the answer with its position, under an id that the turn gives; False where that is taken."""
        said = await self._speech.say(room, f"answer-{turn.last_seq}", text, answers=turn.last_seq)
        if not isinstance(said, Refused):
            return True
        if said.code is ErrorCode.MESSAGE_ID_CONFLICT:
            return False
        raise StoreUnavailable(said.text)

    def _note_failure(self, dialogue: _Dialogue, fault: Exception) -> None:
        dialogue.failures += 1
        conversation_id = dialogue.room.conversation_id
        text = f"no answer could be given: {fault}"
        self._metrics.record_error(ErrorCode.INTERNAL_ERROR, text, conversation_id=conversation_id)
        log.warning(
            "no answer", conversation_id=conversation_id, failures=dialogue.failures, error=str(fault)
        )
