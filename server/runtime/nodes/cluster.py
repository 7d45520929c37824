"""What a node has beside a single one's parts where there are others."""

from collections.abc import Callable

from server.core.connection_limits import ConnectionLimits
from server.ports import Backplane, BackplaneUnavailable, Member, MessageStore
from server.protocol import CloseCode
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.replay import Replayer
from server.runtime.nodes.ai_statuses import NodeAIStatuses
from server.runtime.nodes.announcer import NodeAnnouncer
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.conversations import NodeConversations
from server.runtime.nodes.counts import Counts
from server.runtime.nodes.entrance import NodeEntrance
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.nodes.members import Members
from server.runtime.nodes.places import Places
from server.runtime.nodes.presence import NodePresence
from server.runtime.nodes.requests import Facts, NoAnswer, Requests
from server.runtime.nodes.sweep import Sweep
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard, node_channel
from server.runtime.nodes.typing import NodeTyping
from server.runtime.rooms.device_counts import DeviceCounts
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.sessions import Sessions

_KICK_SECONDS = 2.0


class Cluster:
    """Builds these parts, and holds those that go on by themselves."""

    def __init__(
        self,
        backplane: Backplane,
        store: MessageStore,
        manager: ConnectionManager,
        sessions: Sessions,
        replies: Replies,
        replayer: Replayer,
        ids: IdMaker,
        background: Background,
        describe: Callable[[], Member],
        node_ttl: float,
        session_ttl: float,
    ) -> None:
        """`describe` tells of this node; `node_ttl` and `session_ttl` in seconds."""
        self.backplane = backplane
        self._store = store
        self._manager = manager
        self._ids = ids
        self._background = background
        self.switchboard = Switchboard(backplane, ids.prefix)
        self.members = Members(backplane, node_ttl, describe)
        self.requests = Requests(self.switchboard, background)
        self.fan_out = NodeFanOut(replies, ids, replayer.bring_up, manager, self.switchboard)
        self.channels = RoomChannels(backplane, manager, store, background)
        self.places = Places(
            backplane,
            manager,
            sessions,
            self.members,
            self.requests,
            background,
            ids.prefix,
            session_ttl,
        )
        self._sweep = Sweep(manager, store, self.fan_out, background, node_ttl)
        self._build_counts()
        self._look_after_the_backplane()
        self.requests.serve("kick", self._kicked)

    def _build_counts(self) -> None:
        events = DeviceCounts(self.fan_out)
        self._manager.when_changed(events.changed)
        self.counts = Counts(self._manager, self.switchboard, self.members, self._background, events.changed)
        self.channels.when_heard(self.counts.greet)
        self.channels.when_unheard(self.counts.forget)
        self.places.when_gave_up(self.counts.tell)

    def _look_after_the_backplane(self) -> None:
        back = self.switchboard.when_back
        back(self.channels.doubt_all)
        back(self._sweep.check_all)
        back(self.places.restore_all)
        back(self.counts.greet_all)

    async def open(self) -> None:
        """Connects, or goes on trying to."""
        await self.backplane.open(self.switchboard)
        for channel in (ALL_NODES, node_channel(self._ids.prefix)):
            try:
                await self.backplane.subscribe(channel)
            except BackplaneUnavailable:
                pass

    def start(self) -> None:
        """Run what goes on by itself."""
        self._background.run(self.members.run(), "members")
        self._background.run(self.places.renew(), "renew-places")
        self._background.run(self._sweep.run(), "sweep")

    async def close(self) -> None:
        """Says goodbye; the background has been stopped."""
        self.backplane.depart(self._ids.prefix)
        await self.backplane.close()

    async def kick(self, connection_id: str) -> bool:
        """Has an operator's wish done on the node that has the connection; False where there is none."""
        node_id = connection_id.partition("-")[0]
        if node_id not in self.members.alive:
            return False
        try:
            answer = await self.requests.ask(
                node_id, "kick", {"connection_id": connection_id}, _KICK_SECONDS
            )
        except NoAnswer:
            return False
        return bool(answer["found"])

    async def _kicked(self, asked: Facts) -> Facts:
        connection = self._manager.find(asked["connection_id"])
        if connection is not None:
            connection.close(CloseCode.NORMAL, "closed by an operator")
        return {"found": connection is not None}

    # ---- the parts that stand for those of a single node --------------------------------------------

    def conversations(self, timeout: float) -> NodeConversations:
        return NodeConversations(
            self._store,
            self._manager,
            self._ids,
            self._background,
            timeout,
            self.switchboard,
            self.channels,
            self.places,
            self.counts,
        )

    def entrance(
        self, conversations: Conversations, auto_create: bool, limits: ConnectionLimits
    ) -> NodeEntrance:
        return NodeEntrance(
            conversations,
            self._ids,
            auto_create,
            self.channels,
            self.fan_out,
            self.places,
            self.counts,
            limits,
        )

    def presence(self) -> NodePresence:
        return NodePresence(self._manager, self.switchboard, self.backplane, self.places)

    def typing(self, timeout: float, ai_timeout: float) -> NodeTyping:
        return NodeTyping(self._manager, self.fan_out, timeout, ai_timeout)

    def statuses(self) -> NodeAIStatuses:
        return NodeAIStatuses(
            self._manager, self.fan_out, self._background, self.switchboard, self.backplane
        )

    def announcer(self, conversations: Conversations) -> NodeAnnouncer:
        return NodeAnnouncer(
            self._manager,
            self.fan_out,
            self.switchboard,
            self.members,
            self.places,
            conversations,
            self._background,
        )
