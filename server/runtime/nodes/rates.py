"""Rates of users over all nodes: each node counts by itself, and in the registry for the others."""

import asyncio
import time

from server.core.rate_limit import RateLimiter
from server.ports import BackplaneUnavailable, Rate, Registry


class NodeLimiter(RateLimiter):
    """Decides by what passed here, and by what the registry said of the user last.

    Whoever has to be sure waits for `last_count`. While the registry does not answer, a node is by itself.
    """

    def __init__(self, kind: str, messages: int, window: float, registry: Registry) -> None:
        super().__init__(messages, window)
        self._rate = Rate(kind, messages, window)
        self._registry = registry
        self._blocked: dict[str, float] = {}  # until when, monotonic seconds
        self.last_count: asyncio.Future[float | None] | None = None  # of the newest check

    def check(self, user_id: str, now: float) -> float | None:
        self.last_count = None
        if (until := self._blocked.get(user_id)) is not None:
            if until > now:
                return until - now
            del self._blocked[user_id]
        wait = super().check(user_id, now)
        if wait is None:
            self.last_count = self._registry.count(self._rate, user_id)
            self.last_count.add_done_callback(lambda count: self._counted(user_id, count))
        return wait

    def refund(self, user_id: str, at: float) -> None:
        super().refund(user_id, at)
        self._registry.refund(self._rate, user_id)

    def not_let_through(self, user_id: str, at: float) -> None:
        """Note that what was let through at that time was refused all the same, by the registry."""
        super().refund(user_id, at)

    def forget_idle(self, now: float) -> None:
        super().forget_idle(now)
        self._blocked = {user_id: until for user_id, until in self._blocked.items() if until > now}

    def _counted(self, user_id: str, count: "asyncio.Future[float | None]") -> None:
        if (wait := wait_of(count)) is not None:
            self._blocked[user_id] = time.monotonic() + wait


def wait_of(count: "asyncio.Future[float | None]") -> float | None:
    """Return what a count that is over says; None as well where the registry did not tell."""
    if count.cancelled() or isinstance(count.exception(), BackplaneUnavailable):
        return None
    return count.result()
