"""What the server counts of itself. Owned by the event loop; read by /stats."""

import time
from collections import Counter, deque
from typing import Any, Final

from server.core.latency import LatencyWindow
from server.runtime.base.clock import now_ms

_RATE_SECONDS: Final = 10  # messages.rate_per_second is the mean over these


class Metrics:
    """Counters since the start, latencies and rates over the last minute, the last events and errors."""

    def __init__(self, kept_events: int = 1000, kept_errors: int = 500) -> None:
        self.received = 0  # frames from clients, of connections that ended
        self.sent = 0  # frames queued to connections, of those that ended
        self.acked = 0
        self.nacked: Counter[str] = Counter()
        self.duplicates = 0
        self.chat_messages = 0
        self.ai_responses = 0
        self.ai_failures: Counter[str] = Counter()  # tries to answer a turn, by the kind of their failure
        self.connections_total = 0
        self.connections_peak = 0
        self.reconnections = 0
        self.rejected: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.durations: deque[float] = deque(maxlen=1000)  # seconds, of the last connections that ended
        self.ack_latency = LatencyWindow()
        self.commit_latency = LatencyWindow()
        self.loop_lag = LatencyWindow()
        self.batches = 0
        self.batched = 0
        self.largest_batch = 0
        self.errors_total = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=kept_events)
        self.errors: deque[dict[str, Any]] = deque(maxlen=kept_errors)
        self._error_times: deque[float] = deque(maxlen=10_000)
        self._saved_at_tick: deque[int] = deque([0] * (_RATE_SECONDS + 1), maxlen=_RATE_SECONDS + 1)

    def record_commit(self, size: int, seconds: float) -> None:
        """One transaction of `size` items."""
        self.commit_latency.record(seconds)
        self.batches += 1
        self.batched += size
        if size > self.largest_batch:
            self.largest_batch = size

    def record_event(self, event: str, **context: Any) -> None:
        """A connect, reconnect, replace or disconnect."""
        self.events.append({"at": now_ms(), "event": event, **context})

    def record_error(self, code: str, text: str, **context: Any) -> None:
        """A NACK, an ERROR or a fault, with what is known of where it came from."""
        self.errors_total += 1
        self._error_times.append(time.monotonic())
        self.errors.append({"at": now_ms(), "code": code, "text": text, **context})

    def forget_user(self, user_id: str) -> None:
        """Takes the user out of the events and errors that are kept."""
        for kept in (self.events, self.errors):
            left = [record for record in kept if record.get("user_id") != user_id]
            kept.clear()
            kept.extend(left)

    def tick(self) -> None:
        """Once a second: what the message rate is measured from."""
        self._saved_at_tick.append(self.saved)

    @property
    def saved(self) -> int:
        """Messages saved since the start."""
        return self.chat_messages + self.ai_responses

    @property
    def rate_per_second(self) -> float:
        """Saved messages a second over the last ten."""
        return (self._saved_at_tick[-1] - self._saved_at_tick[0]) / _RATE_SECONDS

    @property
    def errors_last_minute(self) -> int:
        since = time.monotonic() - 60
        return sum(1 for at in self._error_times if at > since)
