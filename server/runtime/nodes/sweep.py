"""Looks in the store for what was lost on its way from another node: the last message leaves no hole."""

import asyncio
from collections.abc import Iterable
from typing import Final

from server.ports import MessageStore, StoreUnavailable
from server.protocol.closing import CONVERSATION_DELETED
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

_PAUSE: Final = 1.0  # seconds between two questions to a database that does not answer


class Sweep:
    """`interval`: seconds between rounds over all rooms with devices."""

    def __init__(
        self,
        manager: ConnectionManager,
        store: MessageStore,
        fan_out: NodeFanOut,
        background: Background,
        interval: float,
    ) -> None:
        self._manager = manager
        self._store = store
        self._fan_out = fan_out
        self._background = background
        self._interval = interval
        fan_out.when_in_doubt(self.check)

    async def run(self) -> None:
        """Looks at all rooms again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self._look_at(self._manager.rooms())

    def check(self, room: Room) -> None:
        """Look at one room now."""
        self._background.run(self._look_at([room]), "sweep-room")

    def check_all(self) -> None:
        """Look at all rooms now, and tell the other nodes how far they have got here."""
        self._background.run(self._look_at(self._manager.rooms()), "sweep")
        self._background.run(self._tell_heads(), "tell-heads")

    async def _look_at(self, rooms: Iterable[Room]) -> None:
        for step in in_batches(rooms):
            by_key = {room.key: room for room in step if room.conversation is not None}
            heads = await self._heads(list(by_key))
            for key, room in by_key.items():
                if key in heads:
                    self._fan_out.found(room, heads[key])
                else:
                    self._close(room)

    async def _heads(self, keys: list[int]) -> dict[int, int]:
        """Reads them once the store answers."""
        while True:
            try:
                return await self._store.heads(keys)
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)

    async def _tell_heads(self) -> None:
        self._fan_out.tell_unsent()
        for step in in_batches(self._manager.rooms()):
            for room in step:
                self._fan_out.tell_head(room)
            await asyncio.sleep(0)

    def _close(self, room: Room) -> None:
        """The conversation was deleted on another node, of which nothing was heard."""
        room.is_deleted = True
        self._manager.close_room(room, CONVERSATION_DELETED)
