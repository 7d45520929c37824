"""What a node has beside a single one's parts where there are others."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from server.core.connection_limits import ConnectionLimits
from server.core.rate_limit import RateLimiter
from server.ports import Backplane, BackplaneUnavailable, Member
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.receiver import FrameLimits, Receiver
from server.runtime.nodes.ai_statuses import NodeAIStatuses
from server.runtime.nodes.alone import Alone, Ground
from server.runtime.nodes.announcer import NodeAnnouncer
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.conversations import NodeConversations
from server.runtime.nodes.counts import Counts
from server.runtime.nodes.entrance import NodeEntrance
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.nodes.members import Members
from server.runtime.nodes.places import Places
from server.runtime.nodes.presence import NodePresence
from server.runtime.nodes.rates import NodeLimiter
from server.runtime.nodes.receiver import NodeReceiver
from server.runtime.nodes.requests import Facts, NoAnswer, Requests
from server.runtime.nodes.spread import Spread
from server.runtime.nodes.sweep import Sweep
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard, node_channel
from server.runtime.nodes.typing import NodeTyping
from server.runtime.rooms.device_counts import DeviceCounts
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.typing import TypingRelay

_KICK_SECONDS: Final = 2.0
"""The reason with which an operator closes a connection (1000)."""


class Cluster(Alone):
    """Holds the parts that go on by themselves, and makes the others."""

    fan_out: NodeFanOut

    def __init__(
        self,
        ground: Ground,
        backplane: Backplane,
        describe: Callable[[], Member],
        node_ttl: float,
        session_ttl: float,
    ) -> None:
        """`describe` tells of this node; `node_ttl` and `session_ttl` in seconds."""
        self.backplane = backplane
        self.node_id = ground.ids.prefix
        self.switchboard = Switchboard(backplane, self.node_id)
        super().__init__(ground)
        manager, background = ground.manager, ground.background
        self.members = Members(backplane, node_ttl, describe)
        self.requests = Requests(self.switchboard, background)
        self.channels = RoomChannels(backplane, manager, ground.store, background)
        self.places = Places(
            backplane,
            manager,
            ground.sessions,
            self.members,
            self.requests,
            self.switchboard,
            background,
            session_ttl,
        )
        self.spread = Spread(manager, self.switchboard)
        self._sweep = Sweep(manager, ground.store, self.fan_out, background, node_ttl)
        self._build_counts()
        self._look_after_the_backplane()
        self.requests.serve("kick", self._kicked)

    def _make_fan_out(self) -> NodeFanOut:
        ground = self._ground
        return NodeFanOut(
            ground.replies, ground.ids, ground.replayer.bring_up, ground.manager, self.switchboard
        )

    def _build_counts(self) -> None:
        manager, background = self._ground.manager, self._ground.background
        events = DeviceCounts(self.fan_out)
        self.counts = Counts(manager, self.switchboard, self.members, background, events.changed)
        self.channels.when_heard(self.counts.greet)
        self.channels.when_unheard(self.counts.forget)
        self.places.when_gave_up(self.counts.tell)

    def _look_after_the_backplane(self) -> None:
        back = self.switchboard.when_back
        back(self.channels.doubt_all)
        back(self._sweep.check_all)
        back(self.places.restore_all)
        back(self.counts.greet_all)
        self.members.when_lost(self.counts.greet_all)

    async def open(self) -> None:
        """Connects, or goes on trying to."""
        await self.backplane.open(self.switchboard)
        for channel in (ALL_NODES, node_channel(self.node_id)):
            with suppress(BackplaneUnavailable):
                await self.backplane.subscribe(channel)

    def start(self) -> None:
        """Run what goes on by itself."""
        self._ground.background.run(self.members.run(), "members")
        self._ground.background.run(self.members.watch(), "watch-for-standstill")
        self._ground.background.run(self.places.renew(), "renew-places")
        self._ground.background.run(self._sweep.run(), "sweep")

    async def close(self) -> None:
        """Says goodbye; the background has been stopped."""
        self.backplane.depart(self.node_id)
        await self.backplane.close()

    async def kick(self, connection_id: str) -> bool:
        """Has an operator's wish done on the node that has the connection; False where there is none."""
        node_id = connection_id.partition("-")[0]
        if node_id not in self.members.alive:
            return False
        try:
            answer = await self.requests.ask(node_id, "kick", {"connection_id": connection_id}, _KICK_SECONDS)
        except NoAnswer:
            return False
        return bool(answer["found"])

    async def _kicked(self, asked: Facts) -> Facts:
        return {"found": self._ground.manager.kick(asked["connection_id"])}

    # ---- parts ------------------------------------------------------------------------------------

    def conversations(self, timeout: float) -> NodeConversations:
        return NodeConversations(
            self._ground.store,
            self._ground.manager,
            self._ground.ids,
            self._ground.background,
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
            self._ground.ids,
            auto_create,
            self.channels,
            self.fan_out,
            self.places,
            self.counts,
            self.spread,
            limits,
        )

    def limiter(self, kind: str, limiter: RateLimiter | None) -> NodeLimiter | None:
        if limiter is None:
            return None
        return NodeLimiter(kind, limiter.messages, limiter.window, self.backplane)

    def receiver(
        self,
        delivery: Delivery,
        typing: TypingRelay,
        signals: SignalHandlers,
        limiter: RateLimiter | None,
        signal_limiter: RateLimiter | None,
        limits: FrameLimits,
    ) -> Receiver:
        ground = self._ground
        if not isinstance(limiter, NodeLimiter):
            return super().receiver(delivery, typing, signals, limiter, signal_limiter, limits)
        return NodeReceiver(
            ground.replies,
            delivery,
            typing,
            signals,
            ground.background,
            limiter,
            signal_limiter,
            limits,
            self.spread,
        )

    def presence(self) -> NodePresence:
        return NodePresence(self._ground.manager, self.switchboard, self.backplane, self.places)

    def typing(self, timeout: float, ai_timeout: float) -> NodeTyping:
        return NodeTyping(self._ground.manager, self.fan_out, timeout, ai_timeout)

    def statuses(self) -> NodeAIStatuses:
        ground = self._ground
        return NodeAIStatuses(
            ground.manager,
            self.fan_out,
            ground.background,
            self.switchboard,
            self.backplane,
            self.members,
            self.requests,
        )

    def announcer(self, conversations: Conversations) -> NodeAnnouncer:
        return NodeAnnouncer(
            self._ground.manager,
            self.fan_out,
            self.switchboard,
            self.members,
            self.places,
            conversations,
            self._ground.background,
        )
