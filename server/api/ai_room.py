"""The conversation that an AI service's request is about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.api.errors import ApiError, not_found
from server.core.model import Refused
from server.protocol import ErrorCode
from server.runtime.messages.conversations import Conversations
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room


class AIRooms:
    """Finds rooms for those who speak for an AI."""

    def __init__(self, manager: ConnectionManager, conversations: Conversations) -> None:
        self._manager = manager
        self._conversations = conversations

    @asynccontextmanager
    async def held(
        self, conversation_id: str, ai_id: str | None, message_id: str | None = None
    ) -> AsyncIterator[Room]:
        """The conversation's room, with its conversation; `message_id` is the request's.

        Raises ApiError (unknown, or another's AI), StoreUnavailable.
        """
        room = self._manager.hold(conversation_id)
        try:
            conversation = await self._conversations.find(room)
            if conversation is None:
                raise not_found("conversation", message_id)
            if ai_id is not None and ai_id != conversation.ai["id"]:
                why = Refused(ErrorCode.CONFLICT, f"ai_id: the conversation's AI is {conversation.ai['id']}")
                raise ApiError(why, message_id)
            yield room
        finally:
            self._manager.release(room)
