"""Frames of devices whose user may have others on other nodes."""

import asyncio
from typing import Final

from server.core.rate_limit import RateLimiter
from server.runtime.base.background import Background
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.receiver import FrameLimits, Receiver, rate_limited
from server.runtime.nodes.rates import NodeLimiter, wait_of
from server.runtime.nodes.spread import Spread
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, PendingMessage
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.typing import TypingRelay

_BOUND: Final = 0.25  # seconds for which a message waits for its count


class NodeReceiver(Receiver):
    """Messages of a user who is on several nodes wait until they are counted there, in their order."""

    def __init__(
        self,
        replies: Replies,
        delivery: Delivery,
        typing: TypingRelay,
        signals: SignalHandlers,
        background: Background,
        limiter: NodeLimiter,
        signal_limiter: RateLimiter | None,
        limits: FrameLimits,
        spread: Spread,
    ) -> None:
        super().__init__(replies, delivery, typing, signals, background, limiter, signal_limiter, limits)
        self._counts = limiter
        self._spread = spread
        self._submit = self._submit_counted
        self._last: dict[str, asyncio.Future[None]] = {}  # of each user, when the newest one was decided

    def _submit_counted(self, save: PendingMessage) -> None:
        user_id, count = save.sender, self._counts.last_count
        before = self._last.get(user_id)
        if before is None and (count is None or user_id not in self._spread):
            self._delivery.submit(save)
            return
        decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[user_id] = decided
        self._background.run(self._decide(save, count, before, decided), "count-message")

    async def _decide(
        self,
        save: PendingMessage,
        count: "asyncio.Future[float | None] | None",
        before: "asyncio.Future[None] | None",
        decided: "asyncio.Future[None]",
    ) -> None:
        try:
            wait = await self._wait_for(count)
            if before is not None:
                await before
            if wait is None:
                self._delivery.submit(save)
        finally:
            decided.set_result(None)
            if self._last.get(save.sender) is decided:
                del self._last[save.sender]
        if wait is not None:
            self._counts.not_let_through(save.sender, save.arrived)
            for waiter, _ in save.waiters:
                assert isinstance(waiter, Connection)
                await self._judge_resend(waiter, save, rate_limited("Too many messages; wait a moment", wait))

    @staticmethod
    async def _wait_for(count: "asyncio.Future[float | None] | None") -> float | None:
        if count is None:
            return None
        await asyncio.wait([count], timeout=_BOUND)
        return wait_of(count) if count.done() else None
