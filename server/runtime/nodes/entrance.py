"""How a device comes in where other nodes may have devices of its conversation."""

from server.core.join_request import JoinRequest, Refusal
from server.core.model import Conversation
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.entrance import Entrance
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.rooms.room import Room


class NodeEntrance(Entrance):
    """Listens to the other nodes first, then reads how far the conversation is."""

    def __init__(
        self,
        conversations: Conversations,
        ids: IdMaker,
        auto_create: bool,
        channels: RoomChannels,
        fan_out: NodeFanOut,
    ) -> None:
        super().__init__(conversations, ids, auto_create)
        self._channels = channels
        self._fan_out = fan_out

    async def open(self, room: Room, request: JoinRequest) -> Conversation | Refusal:
        await self._channels.listen(room)
        is_first = room.holders == 1 and not room.connections  # who asks the store first, and now
        conversation = await super().open(room, request)
        if isinstance(conversation, Conversation):
            if is_first:
                self._channels.note_read(room)
            self._fan_out.found(room, await self._channels.newest(room))
        return conversation
