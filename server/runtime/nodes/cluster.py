"""What a node has beside a single one's parts where there are others."""

from server.ports import Backplane, MessageStore
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.replay import Replayer
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.entrance import NodeEntrance
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.nodes.sweep import Sweep
from server.runtime.nodes.switchboard import Switchboard
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies


class Cluster:
    """Holds these parts. `node_ttl`: seconds of silence after which a node counts as gone."""

    def __init__(
        self,
        backplane: Backplane,
        store: MessageStore,
        manager: ConnectionManager,
        replies: Replies,
        replayer: Replayer,
        ids: IdMaker,
        background: Background,
        node_ttl: float,
    ) -> None:
        self._backplane = backplane
        self._ids = ids
        self._background = background
        self.switchboard = Switchboard(backplane, ids.prefix)
        self.fan_out = NodeFanOut(replies, ids, replayer.bring_up, manager, self.switchboard)
        self.channels = RoomChannels(backplane, manager, store, background)
        self.sweep = Sweep(manager, store, self.fan_out, background, node_ttl)
        self.switchboard.when_back(self.channels.doubt_all)
        self.switchboard.when_back(self.sweep.check_all)

    async def open(self) -> None:
        """Connects, or goes on trying to."""
        await self._backplane.open(self.switchboard)

    def start(self) -> None:
        """Run what goes on by itself."""
        self._background.run(self.sweep.run(), "sweep")

    async def close(self) -> None:
        """Says goodbye; the background has been stopped."""
        await self._backplane.close()

    def entrance(self, conversations: Conversations, auto_create: bool) -> NodeEntrance:
        """Make the way in."""
        return NodeEntrance(conversations, self._ids, auto_create, self.channels, self.fan_out)
