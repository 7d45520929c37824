"""The conversation that a device asks for, and its place in it."""

from server.core.join_request import JoinRequest, Refusal
from server.core.model import Conversation
from server.protocol.closing import NOT_THE_OWNER, UNKNOWN_CONVERSATION
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.rooms.room import Connection, Room
from server.runtime.rooms.sessions import Seat


class Entrance:
    """Of a node that is alone: whoever else is in the conversation is here."""

    def __init__(self, conversations: Conversations, ids: IdMaker, auto_create: bool) -> None:
        self._conversations = conversations
        self._ids = ids
        self._auto_create = auto_create

    async def open(self, room: Room, request: JoinRequest) -> Conversation | Refusal:
        """Finds the conversation of a held room, or makes it for the user. Raises StoreUnavailable."""
        conversation = await self._conversations.find(room)
        if conversation is None:
            if not self._auto_create:
                return Refusal(*UNKNOWN_CONVERSATION, "unknown_conversation")
            conversation, _ = await self._conversations.create(room, request.user_id)
        if conversation.user_id != request.user_id:
            return Refusal(*NOT_THE_OWNER, "not_owner")
        return conversation

    async def take_seat(self, room: Room, request: JoinRequest) -> Seat | Refusal:
        """Returns the names for the connection to be; no other node has one of the same device then.

        One of the next two is to be called, without an await in between.
        """
        return Seat(self._ids.new(), self._ids.new())

    def came_in(self, connection: Connection) -> None:
        """Note that the connection is there."""

    def gave_up(self, seat: Seat) -> None:
        """Note that it will not come."""
