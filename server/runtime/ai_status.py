"""Which AIs are online, offline or away, as their service says."""

import asyncio
from typing import Final, Literal

from server.core import frames
from server.core.framing import text_frame
from server.core.outbox import Signal
from server.protocol import MessageType
from server.runtime.background import Background
from server.runtime.ids import IdMaker
from server.runtime.manager import ConnectionManager
from server.runtime.room import Room
from server.runtime.steps import steps

AIStatus = Literal["online", "offline", "away"]
_INITIAL: Final = "online"  # of an AI of which nobody has said anything


class AIStatuses:
    """Known while the process runs; the welcome and AI_STATUS tell them."""

    def __init__(self, manager: ConnectionManager, ids: IdMaker, background: Background) -> None:
        self._manager = manager
        self._ids = ids
        self._background = background
        self._statuses: dict[str, AIStatus] = {}

    def of(self, ai_id: str) -> AIStatus:
        return self._statuses.get(ai_id, _INITIAL)

    def set(self, ai_id: str, status: AIStatus) -> int:
        """Every open conversation with that AI is told; how many devices those have."""
        if status == _INITIAL:
            self._statuses.pop(ai_id, None)
        else:
            self._statuses[ai_id] = status
        rooms = [room for room in self._manager.rooms() if _has(room, ai_id)]
        self._background.run(self._tell(rooms, ai_id), "tell-ai-status")
        return sum(len(room.connections) for room in rooms)

    async def _tell(self, rooms: list[Room], ai_id: str) -> None:
        for step in steps(rooms):
            data, stamp = {"ai_id": ai_id, "status": self.of(ai_id)}, self._manager.stamp()
            for room in step:
                frame = frames.signal(
                    MessageType.AI_STATUS, room.conversation_id, self._ids.new(), data, stamp
                )
                self._manager.signal_conversation(room, Signal(text_frame(frame), "AI_STATUS", ai_id))
            await asyncio.sleep(0)


def _has(room: Room, ai_id: str) -> bool:
    return room.conversation is not None and room.conversation.ai["id"] == ai_id
