"""The orderly end: answer what has arrived, tell everybody, close in steps."""

import asyncio
import contextlib
import random
import time
from itertools import islice
from typing import Final

import structlog

from server.core.model import SHUTTING_DOWN
from server.protocol.closing import SERVER_LEAVES
from server.runtime.answers.streams import Streams
from server.runtime.base.batches import BATCH_SIZE, in_batches
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.join import JoinHandler
from server.runtime.messages.receiver import Receiver
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection

log = structlog.get_logger()

_STEP_SECONDS: Final = 0.005  # between steps: the answers to the closes want their turns too
_EMPTYING_STEP: Final = 0.1  # seconds
_QUIET_SECONDS: Final = 0.1  # without a frame: what lay in socket buffers has been read
_SAVING_SECONDS: Final = 1.0  # in which what is still read is saved; what is read later is refused
_AFTER_STREAMS_SECONDS: Final = 2.0  # of the grace, for what is saved and closed after the last stream
_HEARING_SHARE: Final = 0.8  # of the grace; the rest is for closing
# Devices come back over a time in which a server accepts them all with ease.
_RETURNS_PER_SECOND: Final = 500
_SOONEST_RETURN: Final = 0.5  # seconds


class Shutdown:
    """`drain` is run once, by whoever ends the server; a node may be emptied before.

    `grace`: seconds that a drain may take.
    """

    def __init__(
        self,
        manager: ConnectionManager,
        replies: Replies,
        joins: JoinHandler,
        receiver: Receiver,
        delivery: Delivery,
        streams: Streams,
        grace: float,
    ) -> None:
        self._manager = manager
        self._replies = replies
        self._joins = joins
        self._receiver = receiver
        self._delivery = delivery
        self._streams = streams
        self._grace = grace
        self._emptying = 0  # the newest call of `empty` or `stop_emptying`
        self._is_ending = False

    @property
    def is_draining(self) -> bool:
        """Nobody comes in any more."""
        return self._joins.is_draining

    def begin_draining(self) -> None:
        self._joins.is_draining = True

    def stop_emptying(self) -> bool:
        """Lets the node take connections again; False once the process is about to end, which stays so."""
        if self._is_ending:
            return False
        self._emptying += 1
        self._joins.is_draining = False
        return True

    async def empty(self, per_second: int) -> None:
        """Tells every connection and closes it, so many a second at most, until `stop_emptying`.

        A later call sets another pace.
        """
        self._emptying = pace = self._emptying + 1
        size = min(BATCH_SIZE, max(1, round(per_second * _EMPTYING_STEP)))
        while (connections := list(islice(self._manager.connections(), size))) and pace == self._emptying:
            is_gentle = per_second <= _RETURNS_PER_SECOND
            self._tell(connections, 0 if is_gentle else self._manager.current / _RETURNS_PER_SECOND)
            await asyncio.sleep(max(size / per_second, _STEP_SECONDS))
            end = time.monotonic() + self._delivery.timeout
            while any(connection.close_code is None for connection in connections):
                self._close(connections, end)
                await asyncio.sleep(_STEP_SECONDS)

    async def drain(self) -> None:
        """Everything that had arrived is answered and every connection is closing when it returns.

        Takes little more than `store.timeout` when the database does not answer: by then every
        message was told that it is not saved, or that its outcome is open.
        """
        log.info("shutting down", connections=self._manager.current, pending=self._delivery.pending)
        began = time.monotonic()
        end = began + _HEARING_SHARE * self._grace
        self._is_ending = True
        self.begin_draining()
        await self._announce()
        await self._hear_out(min(end, time.monotonic() + _SAVING_SECONDS))
        self._receiver.is_draining = True
        await self._end_streams(began + self._grace - _AFTER_STREAMS_SECONDS)
        await self._settle()
        await self._hear_out(end)  # those who were slowed down while their messages waited
        await self._close_all(end)
        log.info("shut down", connections=self._manager.current, pending=self._delivery.pending)

    async def _announce(self) -> None:
        spread = self._manager.current / _RETURNS_PER_SECOND
        for step in in_batches(self._manager.connections()):
            self._tell(step, spread)
            await asyncio.sleep(_STEP_SECONDS)

    def _tell(self, connections: list[Connection], spread: float) -> None:
        for connection in connections:
            after = round(_SOONEST_RETURN + random.uniform(0, 1 + spread), 3)
            self._replies.system(connection, {"event": "shutdown", "reconnect_after": after})

    @staticmethod
    def _close(connections: list[Connection], end: float) -> None:
        """Those to whom all that they said is answered; after the end, all."""
        is_over = time.monotonic() >= end
        for connection in connections:
            if is_over or not connection.unanswered:
                connection.close(*SERVER_LEAVES)

    async def _hear_out(self, end: float) -> None:
        """Reads on until nobody has said anything for a moment, or all that had arrived is read.

        Who is never held up has been read to the end of his buffer, again and again, and goes on sending.
        """
        heard, calm = -1, 0
        while heard != self._manager.received and calm < 2 and time.monotonic() < end:
            heard = self._manager.received
            await asyncio.sleep(_QUIET_SECONDS)
            is_calm = not any(connection.is_held_up for connection in self._manager.connections())
            calm = calm + 1 if is_calm else 0

    async def _end_streams(self, end: float) -> None:
        """Let answers be written on until that time, then break them off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await self._streams.finished()
        self._streams.break_off_all(SHUTTING_DOWN)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(self._delivery.timeout + _QUIET_SECONDS):
                await self._delivery.drained()
        except TimeoutError:
            log.warning("the database did not settle everything", pending=self._delivery.pending)

    async def _close_all(self, end: float) -> None:
        while self._manager.current:
            for step in in_batches(self._manager.connections()):
                self._close(step, end)
                await asyncio.sleep(_STEP_SECONDS)
