"""The orderly end: answer what has arrived, tell everybody, close in steps."""

import asyncio
import random
from typing import Final

from server.protocol import CloseCode
from server.runtime.delivery import Delivery
from server.runtime.gateway import Gateway
from server.runtime.manager import ConnectionManager
from server.runtime.receiver import Receiver

_ARRIVAL_SECONDS: Final = 0.1  # for what lies in socket buffers to be read
_CLOSES_PER_STEP: Final = 200
_STEP_SECONDS: Final = 0.01
# Devices come back over a time in which a server accepts them all with ease.
_RETURNS_PER_SECOND: Final = 500
_SOONEST_RETURN: Final = 0.5  # seconds


class Shutdown:
    """Run once, by whoever ends the server."""

    def __init__(
        self, manager: ConnectionManager, gateway: Gateway, receiver: Receiver, delivery: Delivery
    ) -> None:
        self._manager = manager
        self._gateway = gateway
        self._receiver = receiver
        self._delivery = delivery

    async def drain(self) -> None:
        """Everything that had arrived is answered and every connection is closing when it returns.

        Takes `store.timeout` at the most, when the database does not answer.
        """
        self._gateway.is_draining = True
        self._announce()
        await asyncio.sleep(_ARRIVAL_SECONDS)
        self._receiver.is_draining = True
        await self._delivery.drained()
        await self._close_all()

    def _announce(self) -> None:
        connections = list(self._manager.connections())
        spread = len(connections) / _RETURNS_PER_SECOND
        for connection in connections:
            reconnect_after = round(_SOONEST_RETURN + random.uniform(0, 1 + spread), 3)
            self._manager.send_system(connection, {"event": "shutdown", "reconnect_after": reconnect_after})

    async def _close_all(self) -> None:
        connections = list(self._manager.connections())
        for start in range(0, len(connections), _CLOSES_PER_STEP):
            for connection in connections[start : start + _CLOSES_PER_STEP]:
                connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
            await asyncio.sleep(_STEP_SECONDS)
