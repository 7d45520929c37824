"""Which AIs are online, offline or away, as their service says."""

import asyncio
from typing import Final, Literal

from server.protocol import MessageType
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

AIStatus = Literal["online", "offline", "away"]
_INITIAL: Final = "online"  # of an AI of which nobody has said anything


class AIStatuses:
    """Known while the process runs; the welcome and AI_STATUS tell them."""

    def __init__(self, manager: ConnectionManager, fan_out: FanOut, background: Background) -> None:
        self._manager = manager
        self._fan_out = fan_out
        self._background = background
        self._statuses: dict[str, AIStatus] = {}

    def of(self, ai_id: str) -> AIStatus:
        return self._statuses.get(ai_id, _INITIAL)

    def set(self, ai_id: str, status: AIStatus) -> None:
        """Have every open conversation with that AI told."""
        if status == _INITIAL:
            self._statuses.pop(ai_id, None)
        else:
            self._statuses[ai_id] = status
        self._background.run(self._tell(self._rooms(ai_id), ai_id), "tell-ai-status")

    async def devices(self, ai_id: str) -> int:
        """Counts the devices that are connected to conversations with that AI."""
        return self._devices_here(ai_id)

    def _devices_here(self, ai_id: str) -> int:
        return sum(len(room.connections) for room in self._rooms(ai_id))

    def _rooms(self, ai_id: str) -> list[Room]:
        return [room for room in self._manager.rooms() if _has(room, ai_id)]

    async def _tell(self, rooms: list[Room], ai_id: str) -> None:
        for step in in_batches(rooms):
            data = {"ai_id": ai_id, "status": self.of(ai_id)}
            for room in step:
                self._fan_out.signal(room, MessageType.AI_STATUS, data, key=(MessageType.AI_STATUS, ai_id))
            await asyncio.sleep(0)


def _has(room: Room, ai_id: str) -> bool:
    return room.conversation is not None and room.ai_id == ai_id
