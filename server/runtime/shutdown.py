"""The orderly end: answer what has arrived, tell everybody, close in steps."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from typing import Final

import structlog

from server.protocol import CloseCode
from server.runtime.connection import Connection
from server.runtime.delivery import Delivery
from server.runtime.gateway import Gateway
from server.runtime.manager import ConnectionManager
from server.runtime.receiver import Receiver

log = structlog.get_logger()

_STEP: Final = 200  # connections told or closed before others get their turn: a few milliseconds
_STEP_SECONDS: Final = 0.01
_EMPTYING_STEP: Final = 0.1  # seconds
_QUIET_SECONDS: Final = 0.1  # without a frame: what lay in socket buffers has been read
_HEARING_SECONDS: Final = 1.0  # at most, for those who go on sending
# Devices come back over a time in which a server accepts them all with ease.
_RETURNS_PER_SECOND: Final = 500
_SOONEST_RETURN: Final = 0.5  # seconds


class Shutdown:
    """`drain` is run once, by whoever ends the server; a node may be emptied before."""

    def __init__(
        self, manager: ConnectionManager, gateway: Gateway, receiver: Receiver, delivery: Delivery
    ) -> None:
        self._manager = manager
        self._gateway = gateway
        self._receiver = receiver
        self._delivery = delivery
        self._emptying = 0  # the newest call of `empty`

    @property
    def is_draining(self) -> bool:
        """Nobody comes in any more."""
        return self._gateway.is_draining

    def begin_draining(self) -> None:
        self._gateway.is_draining = True

    async def empty(self, per_second: int) -> None:
        """Tells every connection and closes it, so many a second; a later call sets another pace."""
        self._emptying = pace = self._emptying + 1
        size = max(1, round(per_second * _EMPTYING_STEP))
        while (connections := list(itertools.islice(self._manager.connections(), size))) and (
            pace == self._emptying
        ):
            self._tell(connections, len(connections) / _RETURNS_PER_SECOND)
            self._close(connections)
            await asyncio.sleep(size / per_second)

    async def drain(self) -> None:
        """Everything that had arrived is answered and every connection is closing when it returns.

        Takes little more than `store.timeout` when the database does not answer: by then every
        message was told that it is not saved, or that its outcome is open.
        """
        log.info("shutting down", connections=self._manager.current, pending=self._delivery.pending)
        self.begin_draining()
        await self._announce()
        await self._hear_out()
        self._receiver.is_draining = True
        await self._settle()
        await self._hear_out()  # those who were slowed down while their messages waited
        await self._close_all()
        log.info("shut down", connections=self._manager.current, pending=self._delivery.pending)

    async def _announce(self) -> None:
        spread = self._manager.current / _RETURNS_PER_SECOND
        for step in self._steps():
            self._tell(step, spread)
            await asyncio.sleep(_STEP_SECONDS)

    def _tell(self, connections: list[Connection], spread: float) -> None:
        for connection in connections:
            after = round(_SOONEST_RETURN + random.uniform(0, 1 + spread), 3)
            self._manager.send_system(connection, {"event": "shutdown", "reconnect_after": after})

    @staticmethod
    def _close(connections: list[Connection]) -> None:
        for connection in connections:
            connection.close(CloseCode.GOING_AWAY, "the server is shutting down")

    async def _hear_out(self) -> None:
        """Reads on until nobody has said anything for a moment."""
        end = time.monotonic() + _HEARING_SECONDS
        heard = -1
        while heard != self._manager.received and time.monotonic() < end:
            heard = self._manager.received
            await asyncio.sleep(_QUIET_SECONDS)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(self._delivery.timeout + _QUIET_SECONDS):
                await self._delivery.drained()
        except TimeoutError:
            log.warning("the database did not settle everything", pending=self._delivery.pending)

    async def _close_all(self) -> None:
        for step in self._steps():
            self._close(step)
            await asyncio.sleep(_STEP_SECONDS)

    def _steps(self) -> Iterator[list[Connection]]:
        connections = list(self._manager.connections())
        for start in range(0, len(connections), _STEP):
            yield connections[start : start + _STEP]
