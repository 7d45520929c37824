"""The parts of a node that other nodes would have to know of: here, there are none."""

from dataclasses import dataclass

from server.core.connection_limits import ConnectionLimits
from server.core.rate_limit import RateLimiter
from server.ports import MessageStore
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.entrance import Entrance
from server.runtime.messages.receiver import FrameLimits, Receiver
from server.runtime.messages.replay import Replayer
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.presence import Presence
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.sessions import Sessions
from server.runtime.signals.ai_status import AIStatuses
from server.runtime.signals.announcer import Announcer
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.typing import TypingRelay


@dataclass(frozen=True)
class Ground:
    """What these parts stand on."""

    store: MessageStore
    manager: ConnectionManager
    sessions: Sessions
    replies: Replies
    replayer: Replayer
    ids: IdMaker
    background: Background


class Alone:
    """Makes them; Cluster makes those of a node among others."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.fan_out = self._make_fan_out()

    def _make_fan_out(self) -> FanOut:
        ground = self._ground
        return FanOut(ground.replies, ground.ids, ground.replayer.bring_up)

    async def open(self) -> None:
        """Connects to the other nodes."""

    def start(self) -> None:
        """Run what goes on by itself."""

    async def close(self) -> None:
        """Says goodbye; the background has been stopped."""

    async def kick(self, connection_id: str) -> bool:
        """Closes a connection that is not here; False where there is none."""
        return False

    def conversations(self, timeout: float) -> Conversations:
        """`timeout`: that of the store, in seconds."""
        ground = self._ground
        return Conversations(ground.store, ground.manager, ground.ids, ground.background, timeout)

    def entrance(self, conversations: Conversations, auto_create: bool, limits: ConnectionLimits) -> Entrance:
        return Entrance(conversations, self._ground.ids, auto_create)

    def limiter(self, kind: str, limiter: RateLimiter | None) -> RateLimiter | None:
        """Return what holds users to that rate on all nodes; None where there is none."""
        return limiter

    def receiver(
        self,
        delivery: Delivery,
        typing: TypingRelay,
        signals: SignalHandlers,
        limiter: RateLimiter | None,
        signal_limiter: RateLimiter | None,
        limits: FrameLimits,
    ) -> Receiver:
        """The limiters are those that `limiter` made."""
        ground = self._ground
        return Receiver(
            ground.replies, delivery, typing, signals, ground.background, limiter, signal_limiter, limits
        )

    def presence(self) -> Presence:
        return Presence(self._ground.manager)

    def typing(self, timeout: float, ai_timeout: float) -> TypingRelay:
        """Timeouts in seconds."""
        return TypingRelay(self._ground.manager, self.fan_out, timeout, ai_timeout)

    def statuses(self) -> AIStatuses:
        return AIStatuses(self._ground.manager, self.fan_out, self._ground.background)

    def announcer(self, conversations: Conversations) -> Announcer:
        return Announcer(self._ground.manager, self.fan_out)
