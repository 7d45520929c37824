"""The middle of a message's path: save in groups, broadcast in seq order, then answer."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import Final

import structlog

from server.core import payloads
from server.core.model import (
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Outcome,
    Refused,
    settle_resend,
)
from server.core.timestamps import rfc3339
from server.core.websocket_frames import text_frame
from server.ports import MessageStore, StoreUnavailable
from server.protocol import MessageType
from server.protocol.closing import SERVER_FAULT
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.base.group_commit import GroupCommit
from server.runtime.base.lanes import Lanes
from server.runtime.base.metrics import Metrics
from server.runtime.messages.gap_repair import GapRepair
from server.runtime.messages.trace import MessageTrace
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import PendingMessage, Room
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()

_DOUBT_SECONDS: Final = 10.0  # after which a failure says nothing any more: perhaps nobody sends meanwhile
_UNSAVED: Final = Outcome.refused(STORE_UNAVAILABLE)
_UNKNOWN: Final = Outcome.refused(OUTCOME_UNKNOWN)
_SECOND_LOOK_SECONDS: Final = 0.5  # for the store to tell whether a withdrawn message was there before


class Delivery:
    """Owns the commit queue and what is being saved in each room. `timeout`: `store.timeout`, seconds."""

    def __init__(
        self,
        store: MessageStore,
        manager: ConnectionManager,
        replies: Replies,
        fan_out: FanOut,
        repair: GapRepair,
        typing: TypingRelay,
        trace: MessageTrace,
        metrics: Metrics,
        timeout: float,
    ) -> None:
        self._store = store
        self._manager = manager
        self._replies = replies
        self._fan_out = fan_out
        self._repair = repair
        self._typing = typing
        self._trace = trace
        self._metrics = metrics
        self._background = Background()
        self._unsaved = 0  # messages that the store is asked about once more
        self._failed_at = -math.inf  # when the store last did not save what it was given, monotonic seconds
        self.on_chat: Callable[[Room, int], None] | None = None  # hears of every message of a user
        self.timeout = timeout
        self._is_traced = log.is_enabled_for(logging.DEBUG)
        self._queue: GroupCommit[PendingMessage, Outcome] | Lanes[PendingMessage, Outcome] = (
            GroupCommit(store.save, self, timeout)
            if store.lanes == 1
            else Lanes(store.save, self, timeout, store.lanes)
        )

    @property
    def pending(self) -> int:
        """Messages whose fate is open."""
        return self._queue.pending + self._unsaved

    @property
    def is_saving(self) -> bool:
        """False after a failure, until something is saved or the failure is long ago."""
        return time.monotonic() - self._failed_at > _DOUBT_SECONDS

    async def drained(self) -> None:
        """Waits until every message is settled."""
        await self._queue.drained()
        await self._background.finished()

    def submit(self, message: PendingMessage) -> None:
        """The answer comes by `settled` of its waiters, within the store's timeout."""
        room = message.room
        if room.saving is None:
            room.saving = {}
        room.saving[message.message_id] = message
        self._queue.submit(message)

    async def outcome_before(self, message: PendingMessage, why: Refused) -> Outcome:
        """Of a message that is not to be saved now: what it was when it was saved before, or `why`.

        Where the store does not tell, `why` could deny what is saved.
        """
        try:
            stored = await self._store.find_message(message.conversation_key, message.message_id)
        except StoreUnavailable:
            return _UNKNOWN
        return Outcome.refused(why) if stored is None else settle_resend(message, stored)

    def settled(self, items: list[PendingMessage], results: list[Outcome], seconds: float) -> None:
        self._replies.hold()
        try:
            unsaved = self._answer_all(items, results)
        finally:
            self._replies.flush()
        self._metrics.record_commit(len(items), seconds)
        if unsaved:
            self.withdrawn(unsaved)
        elif self._failed_at > -math.inf:
            self._failed_at = -math.inf
            log.info("messages are saved again")
        self._trace.committed(items, results)

    def _answer_all(self, items: list[PendingMessage], results: list[Outcome]) -> list[PendingMessage]:
        """Broadcasts what was saved and answers it; returns what was not saved, which is still open."""
        now = time.monotonic()
        unsaved: list[PendingMessage] = []
        for message, outcome in zip(items, results, strict=True):
            try:
                if outcome.is_new:
                    self._answer(message, outcome, now, self._broadcast(message, outcome.seq))
                elif outcome.refusal is STORE_UNAVAILABLE:
                    unsaved.append(message)
                else:
                    self._answer_without_broadcast(message, outcome, now)
            except Exception:
                self._fail(message)
        return unsaved

    def withdrawn(self, items: list[PendingMessage]) -> None:
        self._note_failure()
        self._unsaved += len(items)
        self._background.run(self._answer_unsaved(items), "answer-unsaved")

    def overdue(self, items: list[PendingMessage]) -> None:
        """Whoever asked too long ago hears that the outcome is open; the save itself goes on."""
        self._note_failure()
        limit = time.monotonic() - self.timeout
        for message in items:
            for waiter, _ in [entry for entry in message.waiters if entry[1] <= limit]:
                waiter.settled(message, _UNKNOWN, 0, False)
            message.waiters = [entry for entry in message.waiters if entry[1] > limit]

    def failed(self, items: list[PendingMessage], fault: BaseException) -> None:
        log.error("the store failed", exc_info=fault)
        self._note_failure()
        now = time.monotonic()
        for message in items:
            self._answer_without_broadcast(message, _UNKNOWN, now)

    def _note_failure(self) -> None:
        """The log hears of it once, however many messages it is."""
        if self._failed_at == -math.inf:
            log.warning("messages cannot be saved", pending=self.pending)
        self._failed_at = time.monotonic()

    async def _answer_unsaved(self, messages: list[PendingMessage]) -> None:
        """One may be a resend of a message that was saved earlier, which a plain NACK would deny."""
        end = asyncio.get_running_loop().time() + _SECOND_LOOK_SECONDS
        for step in in_batches(messages):
            outcomes = await self._second_look(step, end)
            self._unsaved -= len(step)
            now = time.monotonic()
            for message, outcome in zip(step, outcomes, strict=True):
                self._answer_without_broadcast(message, outcome, now)
            await asyncio.sleep(0)

    async def _second_look(self, messages: list[PendingMessage], end: float) -> list[Outcome]:
        """What the store tells until that time of the loop's clock."""
        questions = [self._store.find_message(each.conversation_key, each.message_id) for each in messages]
        try:
            async with asyncio.timeout_at(end):
                found = await asyncio.gather(*questions)
        except (StoreUnavailable, TimeoutError):
            return [_UNSAVED] * len(messages)
        except Exception:
            log.exception("the store failed")
            return [_UNKNOWN] * len(messages)
        return [
            _UNSAVED if stored is None else settle_resend(message, stored)
            for message, stored in zip(messages, found, strict=True)
        ]

    def _broadcast(self, message: PendingMessage, seq: int) -> int:
        room = message.room
        room.last_activity = message.created_at
        if message.type is MessageType.CHAT_MESSAGE:
            self._metrics.chat_messages += 1
            if self.on_chat is not None:
                self.on_chat(room, seq)
        else:
            self._metrics.ai_responses += 1
            self._typing.stop_ai(room)
        is_heard = room.live or self._fan_out.is_heard_elsewhere
        self._fan_out.message(room, seq, _frame_of(message, seq) if is_heard else b"")
        if self._is_traced:
            log.debug(
                "saved",
                message_id=message.message_id,
                conversation_id=room.conversation_id,
                seq=seq,
                delivered_to=len(room.live),
            )
        return len(room.connections) + room.elsewhere

    def _fail(self, message: PendingMessage) -> None:
        """A fault of ours in one message: its devices come back and read it from the store."""
        room = message.room
        log.exception(
            "a message could not be delivered",
            user_id=message.sender,
            conversation_id=room.conversation_id,
            message_id=message.message_id,
        )
        if room.saving is not None:
            room.saving.pop(message.message_id, None)
        for device in room.connections:
            device.close(*SERVER_FAULT)
        for waiter, _ in message.waiters:
            with contextlib.suppress(Exception):
                waiter.settled(message, _UNKNOWN, 0, False)

    def _answer_without_broadcast(self, message: PendingMessage, outcome: Outcome, now: float) -> None:
        """Not saved, or not now. It may have been saved once without anybody here hearing of it."""
        if outcome.refusal is None:
            self._fan_out.found(message.room, outcome.seq)
        elif outcome.refusal is OUTCOME_UNKNOWN:
            self._repair.suspect(message.room)
        self._answer(message, outcome, now)

    def _answer(self, message: PendingMessage, outcome: Outcome, now: float, delivered_to: int = 0) -> None:
        room = message.room
        if room.saving is not None:
            room.saving.pop(message.message_id, None)
            if not room.saving:
                room.saving = None
        for waiter, asked in message.waiters:
            self._metrics.ack_latency.record(now - asked)
            waiter.settled(message, outcome, delivered_to, asked != message.arrived)
        if not room.connections:
            self._manager.drop_if_unused(room)


def _frame_of(message: PendingMessage, seq: int) -> bytes:
    conversation_id, stamp = message.room.conversation_id, rfc3339(message.created_at)
    return text_frame(payloads.saved_message(conversation_id, seq, message, stamp))
