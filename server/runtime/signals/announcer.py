"""What the server tells users wherever they are: matches, new conversations, announcements."""

import asyncio
from collections.abc import Iterable
from typing import Any

from server.core.model import Conversation
from server.protocol import MessageType
from server.runtime.base.batches import in_batches
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection


class Announcer:
    """In these frames the envelope's conversation is the receiving device's own; the new one is in data."""

    def __init__(self, manager: ConnectionManager, fan_out: FanOut) -> None:
        self._manager = manager
        self._fan_out = fan_out

    def new_match(self, conversation: Conversation) -> None:
        """NEW_MATCH to all devices of the user."""
        self._tell_user(MessageType.NEW_MATCH, conversation)

    def conversation_created(self, conversation: Conversation) -> None:
        """CONVERSATION_CREATED to all devices of the user."""
        self._tell_user(MessageType.CONVERSATION_CREATED, conversation)

    async def announce(self, text: str, user_id: str | None, conversation_id: str | None) -> int:
        """To the user's devices, the conversation's, or all that are connected; how many those are."""
        told, data = 0, {"event": "announcement", "text": text}
        for step in in_batches(self._audience(user_id, conversation_id)):
            told += self._fan_out.tell(step, MessageType.SYSTEM, data)
            await asyncio.sleep(0)
        return told

    def _audience(self, user_id: str | None, conversation_id: str | None) -> Iterable[Connection]:
        if user_id is not None:
            return self._manager.devices_of(user_id)
        if conversation_id is not None:
            room = self._manager.room(conversation_id)
            return room.connections if room else ()
        return self._manager.connections()

    def _tell_user(self, type: MessageType, conversation: Conversation) -> None:
        data: dict[str, Any] = {"ai": conversation.ai, "conversation_id": conversation.id}
        self._fan_out.tell(self._manager.devices_of(conversation.user_id), type, data)
