"""Sends dead letters to the AI service again, when an operator asked for it."""

import asyncio
import random
from dataclasses import replace
from typing import Final

import structlog

from server.core.model import FRAME_FAILED
from server.core.owed import DeadLetter
from server.core.retrying import Backoff, FailureKind
from server.core.turn_rules import Turn
from server.ports import MessageStore, Responder, ResponderFailed, StoreUnavailable
from server.protocol import MessageType, answer_id
from server.runtime.answers.attempt import Attempt, Verdict
from server.runtime.answers.failing import Failures
from server.runtime.answers.gate import Gate, Slot
from server.runtime.answers.streams import Streams
from server.runtime.base.clock import now_ms
from server.runtime.messages.conversations import Conversations
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

log = structlog.get_logger()

_AT_A_TIME: Final = 16


class Replays:
    """Each letter is tried once: taken, it is gone; failed by its own fault, it is a dead letter again.

    `patience`: see Turns.
    """

    def __init__(
        self,
        manager: ConnectionManager,
        conversations: Conversations,
        store: MessageStore,
        responder: Responder,
        streams: Streams,
        failures: Failures,
        gate: Gate,
        history: int,
        patience: float,
    ) -> None:
        self._manager = manager
        self._conversations = conversations
        self._store = store
        self._responder = responder
        self._streams = streams
        self._failures = failures
        self._gate = gate
        self._history = history
        self._patience = patience
        self._asked = asyncio.Event()
        self._asked.set()  # by somebody before this process began, perhaps

    def wake(self) -> None:
        """Look for letters that are to be sent again."""
        self._asked.set()

    async def run(self) -> None:
        """Send what is asked for, for ever."""
        backoff, failures = Backoff(), 0
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._send_all()
                failures = 0
            except StoreUnavailable as fault:
                failures += 1
                log.warning("dead letters could not be sent again", error=str(fault))
                await asyncio.sleep(backoff.pause(failures, random.random()))
                self._asked.set()

    async def _send_all(self) -> None:
        """Raises StoreUnavailable."""
        while letters := await self._store.replays(_AT_A_TIME):
            faults = await asyncio.gather(*map(self._send, letters))
            if fault := next(filter(None, faults), None):
                raise fault  # now that the others are through: none is sent twice at a time

    async def _send(self, letter: DeadLetter) -> StoreUnavailable | None:
        try:
            await self._deliver(letter)
        except StoreUnavailable as fault:
            return fault
        return None

    async def _deliver(self, letter: DeadLetter) -> None:
        """Raises StoreUnavailable."""
        slot = await self._gate.enter()
        assert slot is not None
        room = self._manager.hold(letter.conversation_id)
        try:
            turn = await self._turn_of(room, letter)
            if turn is not None:
                await self._try(room, turn, slot)
            await self._store.delete_dead_letter(letter.id)
        except StoreUnavailable:
            raise
        except Exception as fault:  # also of the responder's code
            await self._note(letter, fault, slot)
        finally:
            slot.over()
            self._manager.release(room)

    async def _turn_of(self, room: Room, letter: DeadLetter) -> Turn | None:
        """Read the turn; None where it was deleted since."""
        conversation = await self._conversations.find(room)
        if conversation is None or conversation.key != letter.conversation_key:
            return None
        first, last = letter.first_seq, letter.last_seq
        within = await self._store.history(conversation.key, first - 1, last - first + 1)
        messages = [each for each in within if each.type is MessageType.CHAT_MESSAGE and each.seq <= last]
        history = await self._store.history_before(conversation.key, first, self._history)
        return Turn(conversation, messages, history, is_replayed=True) if messages else None

    async def _try(self, room: Room, turn: Turn, slot: Slot) -> None:
        """Raises ResponderFailed, StoreUnavailable."""
        stream = self._streams.open(room, answer_id(turn.last_seq), answers=turn.last_seq)
        if stream is None:
            raise ResponderFailed("the answer is being written by somebody else", FailureKind.UPSTREAM_ERROR)
        try:
            verdict = await Attempt(stream, self._responder, turn, 0.0, slot).run()
        finally:
            stream.abort(FRAME_FAILED)
        if verdict is Verdict.ELSEWHERE:
            await self._store.take(room.key, turn.last_seq, now_ms() + int(self._patience * 1000))

    async def _note(self, letter: DeadLetter, fault: Exception, slot: Slot) -> None:
        """Leave the letter marked where the service is down or wants nothing more: it waits at the gate."""
        self._failures.record(fault, letter.conversation_id, letter.attempts + 1)
        if isinstance(fault, ResponderFailed):
            if fault.kind is FailureKind.GONE:
                await self._failures.stop_all(str(fault))
                return
            if slot.failed(fault):
                return
        again = replace(letter, attempts=letter.attempts + 1, last_error=str(fault), failed_at=now_ms())
        await self._store.end_replay(again)
