"""How an AI's whole message comes into its conversation, whoever wrote it."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from server.core.model import MESSAGE_ID_CONFLICT, STORE_UNAVAILABLE, Outcome, Refused, StoredMessage
from server.ports import MessageStore, StoreUnavailable
from server.protocol import ErrorCode, Finish, MessageType
from server.runtime.base.clock import now_ms
from server.runtime.messages.delivery import Delivery
from server.runtime.rooms.room import PendingMessage, Room
from server.runtime.signals.simulated_status import SimulatedStatus
from server.runtime.signals.typing import TypingRelay

_RETRY_SECONDS: Final = 0.2  # between two tries to save an answer, or to learn what became of one


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
    """`typing_delay`: the shortest and the longest seconds for which the AI is seen typing.

    `is_news`: whether a message that is saved now is to be told as undelivered, see TurnStore; `on_news` is
    called once it is saved. `is_elsewhere`: whether the user has a device on another node; None where
    there is none.
    """

    def __init__(
        self,
        store: MessageStore,
        delivery: Delivery,
        typing: TypingRelay,
        typing_delay: tuple[float, float],
        simulated: SimulatedStatus | None = None,
        is_news: Callable[[Room], bool] = lambda room: False,
        on_news: Callable[[], None] = lambda: None,
        is_elsewhere: Callable[[Room], Awaitable[bool]] | None = None,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._typing = typing
        self._typing_delay = typing_delay
        self._simulated = simulated
        self._is_news = is_news
        self._on_news = on_news
        self._is_elsewhere = is_elsewhere

    async def show_typing(self, room: Room) -> None:
        """Let the AI of a held room be seen typing for a random time; its message ends it."""
        self.begin_typing(room)
        await asyncio.sleep(random.uniform(*self._typing_delay))

    def begin_typing(self, room: Room) -> None:
        """Let the AI of a held room be seen typing until its message comes."""
        self._show_online(room)
        self._typing.indicate_ai(room, True)

    async def say(
        self,
        room: Room,
        message_id: str,
        text: str,
        finish: Finish | None = None,
        answers: int | None = None,
    ) -> Spoken | Refused:
        """Save and broadcast a message of a held room's AI, once for each message_id.

        `answers`: the seq of the last message of the turn that it answers, which the same commit counts as
        answered. Where no answer to that turn is wanted any more, the message is a duplicate: with seq 0
        where none is stored under its id.
        """
        self._show_online(room)
        is_news = self._is_news(room)
        if is_news and self._is_elsewhere is not None:
            is_news = not await self._is_elsewhere(room)
        waiter, now = _Waiter(), time.monotonic()
        message = PendingMessage(
            room.key,
            message_id,
            MessageType.AI_RESPONSE,
            room.ai_id,
            text,
            now_ms(),
            now,
            finish=finish,
            answers=answers,
            undelivered=is_news,
            room=room,
            waiters=[(waiter, now)],
        )
        if not self._submit(room, message):
            return MESSAGE_ID_CONFLICT
        outcome, delivered_to, is_resend = await waiter.answer
        if outcome.refusal is not None:
            return outcome.refusal
        is_duplicate = is_resend or not outcome.is_new
        if message.undelivered:
            self._on_news()
        return Spoken(outcome.seq, message.created_at, 0 if is_duplicate else delivered_to, is_duplicate)

    async def say_surely(
        self,
        room: Room,
        message_id: str,
        text: str,
        finish: Finish | None = None,
        answers: int | None = None,
    ) -> Spoken | Refused:
        """Do as `say`, but try until the store's timeout, and find out what an open outcome was.

        So a refusal means that nothing is saved under that id, or another text.
        """
        end = time.monotonic() + self._delivery.timeout
        while True:
            said = await self.say(room, message_id, text, finish, answers)
            if not isinstance(said, Refused) or not said.code.retryable:
                return said
            if said.code is ErrorCode.OUTCOME_UNKNOWN:
                found = await self._found_out(room, message_id)
                if found is not None:
                    return Spoken(found.seq, found.created_at, room.devices, duplicate=False)
                said = STORE_UNAVAILABLE
            if time.monotonic() + _RETRY_SECONDS >= end:
                return said
            await asyncio.sleep(_RETRY_SECONDS)

    async def find(self, room: Room, message_id: str) -> StoredMessage | None:
        """Find the message under that id. Raises StoreUnavailable."""
        return await self._store.find_message(room.key, message_id)

    async def is_wanted(self, room: Room, answers: int | None) -> bool:
        """Tell whether an answer to that turn, under an id that is not stored, would be saved.

        Raises StoreUnavailable.
        """
        return answers is None or not await self._store.is_answered(room.key, answers)

    async def _found_out(self, room: Room, message_id: str) -> StoredMessage | None:
        """Ask the store until it answers."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                return await self._store.find_message(room.key, message_id)
            await asyncio.sleep(_RETRY_SECONDS)

    def _show_online(self, room: Room) -> None:
        if self._simulated is not None:
            assert room.conversation is not None
            self._simulated.active(room.conversation.ai["id"])

    def _submit(self, room: Room, message: PendingMessage) -> bool:
        """A repeated call whose first one is still being saved joins that one; False: it is another text."""
        saving = room.saving.get(message.message_id) if room.saving else None
        if saving is None:
            self._delivery.submit(message)
        elif (saving.type, saving.sender) == (message.type, message.sender) and (
            message.answers is not None or saving.data == message.data
        ):
            saving.waiters += message.waiters
        else:
            return False
        return True
