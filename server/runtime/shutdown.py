"""The orderly end: answer what has arrived, tell everybody, close in steps."""

import asyncio
import itertools
import random
from typing import Final

from server.protocol import CloseCode
from server.runtime.connection import Connection
from server.runtime.delivery import Delivery
from server.runtime.gateway import Gateway
from server.runtime.manager import ConnectionManager
from server.runtime.receiver import Receiver

_ARRIVAL_SECONDS: Final = 0.1  # for what lies in socket buffers to be read
_CLOSES_PER_STEP: Final = 200
_STEP_SECONDS: Final = 0.01
_EMPTYING_STEP: Final = 0.1  # seconds
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
            self._announce(connections)
            self._close(connections)
            await asyncio.sleep(size / per_second)

    async def drain(self) -> None:
        """Everything that had arrived is answered and every connection is closing when it returns.

        Takes `store.timeout` at the most, when the database does not answer.
        """
        self.begin_draining()
        self._announce(list(self._manager.connections()))
        await asyncio.sleep(_ARRIVAL_SECONDS)
        self._receiver.is_draining = True
        await self._delivery.drained()
        await self._close_all()

    def _announce(self, connections: list[Connection]) -> None:
        spread = len(connections) / _RETURNS_PER_SECOND
        for connection in connections:
            reconnect_after = round(_SOONEST_RETURN + random.uniform(0, 1 + spread), 3)
            self._manager.send_system(connection, {"event": "shutdown", "reconnect_after": reconnect_after})

    async def _close_all(self) -> None:
        connections = list(self._manager.connections())
        for start in range(0, len(connections), _CLOSES_PER_STEP):
            self._close(connections[start : start + _CLOSES_PER_STEP])
            await asyncio.sleep(_STEP_SECONDS)

    @staticmethod
    def _close(connections: list[Connection]) -> None:
        for connection in connections:
            connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
