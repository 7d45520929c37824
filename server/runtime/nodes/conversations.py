"""Conversations of which other nodes may have devices."""

from server.core.envelope import Envelope, Kind, facts_head
from server.core.model import Conversation
from server.ports import MessageStore
from server.protocol.closing import CONVERSATION_DELETED
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.counts import Counts
from server.runtime.nodes.places import Places
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room


class NodeConversations(Conversations):
    """Knows how many devices a room has elsewhere once it is found; a deletion closes them."""

    def __init__(
        self,
        store: MessageStore,
        manager: ConnectionManager,
        ids: IdMaker,
        background: Background,
        timeout: float,
        switchboard: Switchboard,
        channels: RoomChannels,
        places: Places,
        counts: Counts,
    ) -> None:
        super().__init__(store, manager, ids, background, timeout)
        self._switchboard = switchboard
        self._channels = channels
        self._places = places
        self._counts = counts
        switchboard.on(Kind.DELETED, self._heard_deleted)

    async def find(self, room: Room) -> Conversation | None:
        conversation = await super().find(room)
        if conversation is None:
            return None
        if self._channels.is_heard(room.conversation_id):
            self._counts.resume(room)
        elif (places := await self._places.of_user(conversation.user_id)) is not None:
            self._counts.estimate(room, places)
        return conversation

    def _deleted(self, conversation_ids: list[str]) -> None:
        """A node that does not hear of it finds out by its sweep."""
        self._switchboard.publish(ALL_NODES, Kind.DELETED, facts_head({"conversations": conversation_ids}))

    def _heard_deleted(self, channel: str, envelope: Envelope) -> None:
        for conversation_id in envelope.facts["conversations"]:
            if (room := self._manager.room(conversation_id)) is not None:
                room.is_deleted = True
                self._manager.close_room(room, CONVERSATION_DELETED)
