"""The middle of a message's path: save in groups, broadcast in seq order, then answer."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from server.core import frames
from server.core.clock import rfc3339
from server.core.framing import text_frame
from server.core.model import (
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Draft,
    Duplicate,
    Outcome,
    Refused,
    settle_resend,
)
from server.ports import MessageStore, StoreUnavailable
from server.protocol import CloseCode, MessageType
from server.runtime.background import Background
from server.runtime.group_commit import GroupCommit
from server.runtime.manager import ConnectionManager
from server.runtime.missed import Missed
from server.runtime.room import Room
from server.runtime.steps import steps
from server.runtime.trail import Trail
from server.runtime.typing import TypingRelay

log = structlog.get_logger()

_DOUBT_SECONDS: Final = 10.0  # after which a failure says nothing any more: perhaps nobody sends meanwhile
_SECOND_LOOK_SECONDS: Final = 0.5  # for the store to tell whether a withdrawn message was there before


class Asker(Protocol):
    """Whoever waits for a message to be saved: a connection, or a REST request."""

    def settled(self, save: "Save", outcome: Outcome, delivered_to: int, is_resend: bool) -> None:
        """The message's one answer.

        `delivered_to`: devices that it was queued to. `is_resend`: another frame had begun the save.
        """


@dataclass(slots=True, eq=False)
class Save(Draft):
    """A message from its validation to its answers. A resend that comes meanwhile joins the askers."""

    room: Room = field(kw_only=True)
    askers: list[tuple[Asker, float]] = field(kw_only=True)  # and when each asked, monotonic seconds


class Delivery:
    """Owns the commit queue and what is being saved in each room. `timeout`: `store.timeout`, seconds."""

    def __init__(
        self,
        store: MessageStore,
        manager: ConnectionManager,
        trail: Trail,
        typing: TypingRelay,
        missed: Missed,
        timeout: float,
    ) -> None:
        self._manager = manager
        self._store = store
        self._trail = trail
        self._typing = typing
        self._missed = missed
        self._background = Background()
        self._unsaved = 0  # messages that the store is asked about once more
        self._failed_at = -math.inf  # when the store last did not save what it was given, monotonic seconds
        self.on_chat: Callable[[Room], None] | None = None  # hears of every message of a user
        self._metrics = manager.metrics
        self.timeout = timeout
        self._is_traced = log.is_enabled_for(logging.DEBUG)
        self._queue: GroupCommit[Save, Outcome] = GroupCommit(store.save, self, timeout)

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

    def submit(self, save: Save) -> None:
        """The answer comes by `settled` of its askers, within the store's timeout."""
        room = save.room
        if room.saving is None:
            room.saving = {}
        room.saving[save.message_id] = save
        self._queue.submit(save)

    async def outcome_before(self, save: Save, why: Refused) -> Outcome:
        """Of a message that is not to be saved now: what it was when it was saved before, or `why`.

        Where the store does not tell, `why` could deny what is saved.
        """
        try:
            async with asyncio.timeout(self.timeout):
                stored = await self._store.find_message(save.conversation_key, save.message_id)
        except (StoreUnavailable, TimeoutError):
            return OUTCOME_UNKNOWN
        return why if stored is None else settle_resend(save, stored)

    def settled(self, items: list[Save], results: list[Outcome], seconds: float) -> None:
        self._manager.hold_answers()
        try:
            unsaved = self._answer_all(items, results)
        finally:
            self._manager.flush()
        self._metrics.record_commit(len(items), seconds)
        if unsaved:
            self.withdrawn(unsaved)
        elif self._failed_at > -math.inf:
            self._failed_at = -math.inf
            log.info("messages are saved again")
        self._trail.committed(items, results)

    def _answer_all(self, items: list[Save], results: list[Outcome]) -> list[Save]:
        """Broadcasts what was saved and answers it; returns what was not saved, which is still open."""
        now = time.monotonic()
        unsaved: list[Save] = []
        for save, outcome in zip(items, results, strict=True):
            try:
                if type(outcome) is int:
                    self._answer(save, outcome, now, self._broadcast(save, outcome))
                elif outcome is STORE_UNAVAILABLE:
                    unsaved.append(save)
                else:
                    self._answer_without_broadcast(save, outcome, now)
            except Exception:
                self._fail(save)
        return unsaved

    def withdrawn(self, items: list[Save]) -> None:
        self._note_failure()
        self._unsaved += len(items)
        self._background.run(self._answer_unsaved(items), "answer-unsaved")

    def overdue(self, items: list[Save]) -> None:
        """Whoever asked too long ago hears that the outcome is open; the save itself goes on."""
        self._note_failure()
        limit = time.monotonic() - self.timeout
        for save in items:
            for asker, _ in [entry for entry in save.askers if entry[1] <= limit]:
                asker.settled(save, OUTCOME_UNKNOWN, 0, False)
            save.askers = [entry for entry in save.askers if entry[1] > limit]

    def failed(self, items: list[Save], fault: BaseException) -> None:
        log.error("the store failed", exc_info=fault)
        self._note_failure()
        now = time.monotonic()
        for save in items:
            self._answer_without_broadcast(save, OUTCOME_UNKNOWN, now)

    def _note_failure(self) -> None:
        """The log hears of it once, however many messages it is."""
        if self._failed_at == -math.inf:
            log.warning("messages cannot be saved", pending=self.pending)
        self._failed_at = time.monotonic()

    async def _answer_unsaved(self, saves: list[Save]) -> None:
        """One may be a resend of a message that was saved earlier, which a plain NACK would deny."""
        end = asyncio.get_running_loop().time() + _SECOND_LOOK_SECONDS
        for step in steps(saves):
            outcomes = await self._second_look(step, end)
            self._unsaved -= len(step)
            now = time.monotonic()
            for save, outcome in zip(step, outcomes, strict=True):
                self._answer_without_broadcast(save, outcome, now)
            await asyncio.sleep(0)

    async def _second_look(self, saves: list[Save], end: float) -> list[Outcome]:
        """What the store tells until that time of the loop's clock."""
        questions = [self._store.find_message(save.conversation_key, save.message_id) for save in saves]
        try:
            async with asyncio.timeout_at(end):
                found = await asyncio.gather(*questions)
        except (StoreUnavailable, TimeoutError):
            return [STORE_UNAVAILABLE] * len(saves)
        except Exception:
            log.exception("the store failed")
            return [OUTCOME_UNKNOWN] * len(saves)
        return [
            STORE_UNAVAILABLE if stored is None else settle_resend(save, stored)
            for save, stored in zip(saves, found, strict=True)
        ]

    def _broadcast(self, save: Save, seq: int) -> int:
        room = save.room
        if seq != room.last_seq + 1:
            self._missed.found(room, seq)
        room.last_seq = seq
        room.last_activity = save.created_at
        if save.type is MessageType.CHAT_MESSAGE:
            self._metrics.chat_messages += 1
            if self.on_chat is not None:
                self.on_chat(room)
        else:
            self._metrics.ai_responses += 1
            self._typing.stop_ai(room)
        if room.live:
            stamp = rfc3339(save.created_at)
            frame = text_frame(frames.saved_message(room.conversation_id, seq, save, stamp))
            self._manager.broadcast_to_conversation(room.conversation_id, frame)
        if self._is_traced:
            log.debug(
                "saved",
                message_id=save.message_id,
                conversation_id=room.conversation_id,
                seq=seq,
                delivered_to=len(room.live),
            )
        return len(room.connections)

    def _fail(self, save: Save) -> None:
        """A fault of ours in one message: its devices come back and read it from the store."""
        room = save.room
        log.exception(
            "a message could not be delivered",
            user_id=save.sender,
            conversation_id=room.conversation_id,
            message_id=save.message_id,
        )
        if room.saving is not None:
            room.saving.pop(save.message_id, None)
        for device in room.connections:
            device.close(CloseCode.INTERNAL_ERROR, "a fault of the server")
        for asker, _ in save.askers:
            with contextlib.suppress(Exception):
                asker.settled(save, OUTCOME_UNKNOWN, 0, False)

    def _answer_without_broadcast(self, save: Save, outcome: Outcome, now: float) -> None:
        """Not saved, or not now. It may have been saved once without anybody here hearing of it."""
        if type(outcome) is Duplicate and outcome.seq > save.room.last_seq:
            self._missed.found(save.room, outcome.seq)
        elif outcome is OUTCOME_UNKNOWN:
            self._missed.may_be(save.room)
        self._answer(save, outcome, now)

    def _answer(self, save: Save, outcome: Outcome, now: float, delivered_to: int = 0) -> None:
        room = save.room
        if room.saving is not None:
            room.saving.pop(save.message_id, None)
            if not room.saving:
                room.saving = None
        for asker, asked in save.askers:
            self._metrics.ack_latency.record(now - asked)
            asker.settled(save, outcome, delivered_to, asked != save.arrived)
        if not room.connections:
            self._manager.drop_if_unused(room)
