"""A sliding window per user: never more than `messages` in any `window` seconds, whichever the device."""

from collections import deque


class RateLimiter:
    """Time is an argument, in seconds. Keeps the times of what it let through, and nothing of idle users."""

    def __init__(self, messages: int, window: float) -> None:
        self.messages = messages
        self.window = window
        self._passed: dict[str, deque[float]] = {}

    def check(self, user_id: str, now: float) -> float | None:
        """None, and the message counts; or the seconds until one more fits."""
        times = self._passed.get(user_id)
        if times is None:
            times = self._passed[user_id] = deque(maxlen=self.messages)
        if len(times) == self.messages:
            wait = times[0] + self.window - now
            if wait > 0:
                return wait
        times.append(now)
        return None

    def refund(self, user_id: str, at: float) -> None:
        """What was let through at that time turned out to cost nothing."""
        times = self._passed.get(user_id)
        if times and at in times:
            times.remove(at)

    def forget_idle(self, now: float) -> None:
        """Drops users whose last message is out of every window; to be called now and then."""
        for user_id in [u for u, times in self._passed.items() if not times or times[-1] + self.window < now]:
            del self._passed[user_id]
