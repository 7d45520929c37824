"""Stops answers, on whatever node they are written or prepared."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from server.core.model import Refused
from server.ports import StoreUnavailable
from server.protocol import ErrorCode
from server.runtime.answers.cancellations import Cancellations
from server.runtime.nodes.cluster import Cluster
from server.runtime.nodes.requests import Facts, NoAnswer
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

_REQUEST: Final = "cancel"
_SECONDS: Final = 1.5  # a device gets its answer within 2
_NOT_KNOWN: Final = Refused(
    ErrorCode.INTERNAL_ERROR, "Whether a response is being written could not be found out; try again"
)


class NodeCancellations:
    """Asks all nodes, since any of them may write or prepare the answer."""

    def __init__(self, own: Cancellations, manager: ConnectionManager, cluster: Cluster) -> None:
        self._own = own
        self._manager = manager
        self._cluster = cluster
        cluster.requests.serve(_REQUEST, self._serve)

    def cancel(self, room: Room, message_id: str | None) -> Awaitable[bool | Refused]:
        """Stop the answer with that id, or all of the room; False where there was nothing to stop.

        What runs here is stopped before this returns. Awaiting raises StoreUnavailable.
        """
        return self._cancel(room, message_id, self._own.cancel(room, message_id))

    async def _cancel(self, room: Room, message_id: str | None, stopping: Awaitable[bool]) -> bool | Refused:
        is_stopped = await stopping
        if is_stopped and message_id is not None:
            return True
        elsewhere = await self._cancel_elsewhere(room, message_id)
        return is_stopped or elsewhere

    async def _cancel_elsewhere(self, room: Room, message_id: str | None) -> bool | Refused:
        """A node that does not answer counts only where no other has stopped anything."""
        if not self._cluster.backplane.is_connected:
            return _NOT_KNOWN
        asked = {"conversation_id": room.conversation_id, "message_id": message_id}
        others = self._cluster.members.alive - {self._cluster.node_id}
        asking = [asyncio.ensure_future(self._ask(node_id, asked)) for node_id in others]
        answers: list[bool | Refused] = []
        for answer in asyncio.as_completed(asking):
            answers.append(await answer)
            if answers[-1] is True:
                return True
        return next((each for each in answers if isinstance(each, Refused)), False)

    async def _ask(self, node_id: str, asked: Facts) -> bool | Refused:
        try:
            return bool((await self._cluster.requests.ask(node_id, _REQUEST, asked, _SECONDS))["is_stopped"])
        except NoAnswer:
            return _NOT_KNOWN

    async def _serve(self, asked: Facts) -> Facts:
        room = self._manager.room(asked["conversation_id"])
        if room is None or room.conversation is None:
            return {"is_stopped": False}
        try:
            return {"is_stopped": await self._own.cancel(room, asked["message_id"])}
        except StoreUnavailable:
            return {"is_stopped": False}
