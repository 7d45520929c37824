"""How a device comes in where other nodes may have devices of its conversation."""

from server.core.connection_limits import ConnectionLimits, over_limit
from server.core.join_request import JoinRequest, Refusal
from server.core.model import Conversation
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.entrance import Entrance
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.counts import Counts
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.nodes.places import Places
from server.runtime.nodes.spread import Spread
from server.runtime.rooms.room import Connection, Room
from server.runtime.rooms.sessions import Seat


class NodeEntrance(Entrance):
    """Listens to the other nodes first, then reads how far the conversation is, then takes the place."""

    def __init__(
        self,
        conversations: Conversations,
        ids: IdMaker,
        auto_create: bool,
        channels: RoomChannels,
        fan_out: NodeFanOut,
        places: Places,
        counts: Counts,
        spread: Spread,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(conversations, ids, auto_create)
        self._channels = channels
        self._fan_out = fan_out
        self._places = places
        self._counts = counts
        self._spread = spread
        self._limits = limits

    async def open(self, room: Room, request: JoinRequest) -> Conversation | Refusal:
        await self._channels.listen(room)
        is_first = room.holders == 1 and not room.connections  # who asks the store first, and now
        conversation = await super().open(room, request)
        if isinstance(conversation, Conversation):
            if is_first:
                self._channels.note_read(room)
            known = request.last_seq or 0
            newest = await self._channels.newest(room, known)
            (self._fan_out.bring_up if known > room.last_seq else self._fan_out.found)(room, newest)
        return conversation

    async def take_seat(self, room: Room, request: JoinRequest) -> Seat | Refusal:
        seat = await super().take_seat(room, request)
        if isinstance(seat, Refusal):
            return seat
        entered = await self._places.take(request, seat)
        if isinstance(entered, Refusal):
            return entered
        if entered is not None:
            places = self._places.alive(entered.places)
            if (refusal := over_limit(self._limits, 0, 0, len(places) - 1)) is not None:
                self._places.gave_up(seat)
                return refusal
            self._counts.learn(room, places)
            self._spread.came(request.user_id, entered)
        return seat

    def came_in(self, connection: Connection) -> None:
        self._places.came_in(connection)

    def gave_up(self, seat: Seat) -> None:
        self._places.gave_up(seat)
