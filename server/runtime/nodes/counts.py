"""How many devices of a conversation the other nodes have: each tells of its own."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from server.core.envelope import Envelope, Kind, facts_head
from server.ports import Place
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.nodes.members import Members
from server.runtime.nodes.switchboard import Switchboard, conversation_channel, conversation_of
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

# A device that changes nodes leaves one and comes to the other: told at once, that would be two changes.
_CALM: Final = 0.05  # seconds


class Counts:
    """Owns `elsewhere` of the rooms. What is told are numbers, not changes, so a lost one is made good."""

    def __init__(
        self,
        manager: ConnectionManager,
        switchboard: Switchboard,
        members: Members,
        background: Background,
        changed: Callable[[Room], None],
    ) -> None:
        """`changed` is called with each room whose number is now another one."""
        self._manager = manager
        self._switchboard = switchboard
        self._background = background
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._of_nodes: dict[str, dict[str, int]] = {}  # by conversation and node
        self._to_tell: set[Room] = set()
        manager.when_changed(self._changed_here)
        members.when_gone(self._forget_node)
        switchboard.on(Kind.DEVICES, self._heard)
        switchboard.on(Kind.HELLO, self._greeted)

    def greet(self, room: Room) -> None:
        """Ask the other nodes for what they have of a conversation, and tell what there is here."""
        self._publish(room, Kind.HELLO)

    def greet_all(self) -> None:
        """Ask and tell of all rooms with devices."""
        self._background.run(self._greet_all(), "greet-all")

    def learn(self, room: Room, places: Iterable[Place]) -> None:
        """Take the numbers from the places that the user's devices have on living nodes."""
        self._of_nodes[room.conversation_id] = self._by_node(room, places)
        self._sum_up(room)

    def estimate(self, room: Room, places: Iterable[Place]) -> None:
        """Take the number alone, of a conversation that is not listened to: it will not be kept true."""
        room.elsewhere = self._by_node(room, places).total()

    def _by_node(self, room: Room, places: Iterable[Place]) -> Counter[str]:
        me, id = self._switchboard.node_id, room.conversation_id
        return Counter(p.node_id for p in places if p.conversation_id == id and p.node_id != me)

    def forget(self, conversation_id: str) -> None:
        """Know nothing of a conversation that is not listened to any more."""
        self._of_nodes.pop(conversation_id, None)
        if (room := self._manager.room(conversation_id)) is not None:
            room.elsewhere = 0

    def resume(self, room: Room) -> None:
        """Take what is known of the conversation into a new room."""
        self._sum_up(room)

    def tell(self, conversation_id: str) -> None:
        """Have the others know what there is here."""
        if (room := self._manager.room(conversation_id)) is not None:
            self._changed_here(room)

    def _heard(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        if room is not None:
            counts = self._of_nodes.setdefault(room.conversation_id, {})
            counts[envelope.origin] = envelope.facts["devices"]
            self._sum_up(room)

    def _greeted(self, channel: str, envelope: Envelope) -> None:
        self._heard(channel, envelope)
        room = self._manager.room(conversation_of(channel))
        if room is not None and room.connections:
            self._publish(room, Kind.DEVICES)

    def _changed_here(self, room: Room) -> None:
        if not self._to_tell:
            self._loop.call_soon(self._tell)
        self._to_tell.add(room)

    def _tell(self) -> None:
        rooms, self._to_tell = self._to_tell, set()
        for room in rooms:
            self._publish(room, Kind.DEVICES)

    def _publish(self, room: Room, kind: Kind) -> None:
        head = facts_head({"devices": len(room.connections)})
        self._switchboard.publish(conversation_channel(room.conversation_id), kind, head)

    def _sum_up(self, room: Room) -> None:
        elsewhere = sum(self._of_nodes.get(room.conversation_id, {}).values())
        if elsewhere != room.elsewhere:
            room.elsewhere = elsewhere
            if room.connections:
                self._loop.call_later(_CALM, self._changed, room)

    def _forget_node(self, node_id: str) -> None:
        self._background.run(self._take_out(node_id), "take-out-node")

    async def _take_out(self, node_id: str) -> None:
        for step in in_batches(self._of_nodes):
            for conversation_id in step:
                counts = self._of_nodes.get(conversation_id, {})
                counts.pop(node_id, None)
                if (room := self._manager.room(conversation_id)) is not None:
                    self._sum_up(room)
            await asyncio.sleep(0)

    async def _greet_all(self) -> None:
        for step in in_batches(self._manager.rooms()):
            for room in step:
                self.greet(room)
            await asyncio.sleep(0)
