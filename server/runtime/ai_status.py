"""Which AIs are online, offline or away, as their service says."""

from typing import Final, Literal

from server.core import frames
from server.core.framing import text_frame
from server.core.outbox import Signal
from server.protocol import MessageType
from server.runtime.ids import IdMaker
from server.runtime.manager import ConnectionManager

AIStatus = Literal["online", "offline", "away"]
_INITIAL: Final = "online"  # of an AI of which nobody has said anything


class AIStatuses:
    """Known while the process runs; the welcome and AI_STATUS tell them."""

    def __init__(self, manager: ConnectionManager, ids: IdMaker) -> None:
        self._manager = manager
        self._ids = ids
        self._statuses: dict[str, AIStatus] = {}

    def of(self, ai_id: str) -> AIStatus:
        return self._statuses.get(ai_id, _INITIAL)

    def set(self, ai_id: str, status: AIStatus) -> int:
        """Tells every open conversation with that AI; how many devices those have."""
        if status == _INITIAL:
            self._statuses.pop(ai_id, None)
        else:
            self._statuses[ai_id] = status
        data, stamp, told = {"ai_id": ai_id, "status": status}, self._manager.stamp(), 0
        for room in self._manager.rooms():
            if room.conversation is not None and room.conversation.ai["id"] == ai_id:
                frame = frames.signal(
                    MessageType.AI_STATUS, room.conversation_id, self._ids.new(), data, stamp
                )
                self._manager.signal_conversation(room, Signal(text_frame(frame), "AI_STATUS", ai_id))
                told += len(room.connections)
        return told
