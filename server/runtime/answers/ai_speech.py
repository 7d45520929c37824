"""How an AI's whole message comes into its conversation, whoever wrote it."""

import asyncio
import random
import time
from typing import NamedTuple

from server.core.model import MESSAGE_ID_CONFLICT, Outcome, Refused
from server.ports import MessageStore
from server.protocol import MessageType
from server.runtime.base.clock import now_ms
from server.runtime.messages.delivery import Delivery
from server.runtime.rooms.room import PendingMessage, Room
from server.runtime.signals.simulated_status import SimulatedStatus
from server.runtime.signals.typing import TypingRelay


class Spoken(NamedTuple):
    """Saved. `at` in milliseconds since the epoch; `delivered_to`: devices that it was queued to."""

    seq: int
    at: int
    delivered_to: int
    duplicate: bool


class _Waiter:
    """Implements Waiter for somebody who awaits the answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[Outcome, int, bool]] = asyncio.get_running_loop().create_future()

    def settled(self, message: PendingMessage, outcome: Outcome, delivered_to: int, is_resend: bool) -> None:
        if not self.answer.done():
            self.answer.set_result((outcome, delivered_to, is_resend))


class AISpeech:
    """`typing_delay`: the shortest and the longest seconds for which the AI is seen typing."""

    def __init__(
        self,
        store: MessageStore,
        delivery: Delivery,
        typing: TypingRelay,
        typing_delay: tuple[float, float],
        simulated: SimulatedStatus | None = None,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._typing = typing
        self._typing_delay = typing_delay
        self._simulated = simulated

    async def show_typing(self, room: Room) -> None:
        """Lets the AI of a held room be seen typing for a random time; its message ends it."""
        self._show_online(room)
        self._typing.indicate_ai(room, True)
        await asyncio.sleep(random.uniform(*self._typing_delay))

    async def say(self, room: Room, message_id: str, text: str) -> Spoken | Refused:
        """Saves and broadcasts a message of a held room's AI, once for each message_id."""
        self._show_online(room)
        waiter, now = _Waiter(), time.monotonic()
        message = PendingMessage(
            room.key,
            message_id,
            MessageType.AI_RESPONSE,
            room.ai_id,
            text,
            now_ms(),
            now,
            room=room,
            waiters=[(waiter, now)],
        )
        if not self._submit(room, message):
            return MESSAGE_ID_CONFLICT
        outcome, delivered_to, is_resend = await waiter.answer
        if outcome.refusal is not None:
            return outcome.refusal
        is_duplicate = is_resend or not outcome.is_new
        return Spoken(outcome.seq, message.created_at, 0 if is_duplicate else delivered_to, is_duplicate)

    async def was_said(self, room: Room, message_id: str) -> bool:
        """Whether there is a message under that id. Raises StoreUnavailable."""
        return await self._store.find_message(room.key, message_id) is not None

    def _show_online(self, room: Room) -> None:
        if self._simulated is not None:
            assert room.conversation is not None
            self._simulated.active(room.conversation.ai["id"])

    def _submit(self, room: Room, message: PendingMessage) -> bool:
        """A repeated call whose first one is still being saved joins that one; False: it is another text."""
        saving = room.saving.get(message.message_id) if room.saving else None
        if saving is None:
            self._delivery.submit(message)
        elif (saving.type, saving.sender, saving.data) == (message.type, message.sender, message.data):
            saving.waiters += message.waiters
        else:
            return False
        return True
