"""What is told to users on whatever node they are."""

import asyncio
from typing import Any

from server.core.envelope import Envelope, Kind, facts_head
from server.core.model import Conversation
from server.protocol import MessageType
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.messages.conversations import Conversations
from server.runtime.nodes.members import Members
from server.runtime.nodes.places import Places
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.signals.announcer import Announcer


class NodeAnnouncer(Announcer):
    """Every node tells its own devices."""

    def __init__(
        self,
        manager: ConnectionManager,
        fan_out: FanOut,
        switchboard: Switchboard,
        members: Members,
        places: Places,
        conversations: Conversations,
        background: Background,
    ) -> None:
        super().__init__(manager, fan_out)
        self._switchboard = switchboard
        self._members = members
        self._places = places
        self._conversations = conversations
        self._background = background
        switchboard.on(Kind.ANNOUNCEMENT, self._heard)

    async def announce(self, text: str, user_id: str | None, conversation_id: str | None) -> int:
        """As Announcer does, on all nodes. Raises StoreUnavailable."""
        elsewhere = await self._elsewhere(user_id, conversation_id)
        data = {"event": "announcement", "text": text}
        self._pass_on(MessageType.SYSTEM, data, user_id, conversation_id)
        return await super().announce(text, user_id, conversation_id) + elsewhere

    async def _elsewhere(self, user_id: str | None, conversation_id: str | None) -> int:
        """Counts the devices on other nodes, as far as is known."""
        me = self._switchboard.node_id
        if user_id is not None:
            return sum(place.node_id != me for place in await self._places.of_user(user_id) or ())
        if conversation_id is None:
            return sum(m.connections for m in self._members.living() if m.node_id != me)
        room = self._manager.hold(conversation_id)
        try:
            await self._conversations.find(room)
            return room.elsewhere
        finally:
            self._manager.release(room)

    def _tell_user(self, type: MessageType, conversation: Conversation) -> None:
        super()._tell_user(type, conversation)
        data = {"ai": conversation.ai, "conversation_id": conversation.id}
        self._pass_on(type, data, conversation.user_id, None)

    def _pass_on(
        self, type: MessageType, data: Any, user_id: str | None, conversation_id: str | None
    ) -> None:
        whom = {"user_id": user_id, "conversation_id": conversation_id}
        self._switchboard.publish(
            ALL_NODES, Kind.ANNOUNCEMENT, facts_head({"type": type, "data": data} | whom)
        )

    def _heard(self, channel: str, envelope: Envelope) -> None:
        self._background.run(self._tell(**envelope.facts), "announce")

    async def _tell(self, type: str, data: Any, user_id: str | None, conversation_id: str | None) -> None:
        for step in in_batches(self._audience(user_id, conversation_id)):
            self._fan_out.tell(step, MessageType(type), data)
            await asyncio.sleep(0)
