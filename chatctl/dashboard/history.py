"""What the dashboard knows: the latest snapshot, and a curve of each second since it was opened. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Any

# More columns than terminals have.
KEPT_SECONDS = 600


@dataclass(frozen=True)
class Snapshot:
    """What the server said of itself at `at` (monotonic seconds): the documents of its /stats routes."""

    at: float
    stats: dict[str, Any]
    rooms: list[dict[str, Any]]
    events: list[dict[str, Any]]
    errors: list[dict[str, Any]]


class Curve:
    """One value a second; None where there was none, because the server was away."""

    def __init__(self) -> None:
        self.values: deque[float | None] = deque(maxlen=KEPT_SECONDS)

    def add(self, value: float | None) -> None:
        self.values.append(value)

    @property
    def last(self) -> float | None:
        return self.values[-1] if self.values else None


class History:
    """Snapshots turned into curves. `latest` stays when the server goes away; `away` then says why."""

    def __init__(self, first: Snapshot) -> None:
        self.latest = first
        self.away: str | None = None
        self.received = Curve()
        self.sent = Curve()
        self.loop_lag = Curve()

    def add(self, snapshot: Snapshot) -> None:
        """The server answered."""
        before, self.latest, self.away = self.latest, snapshot, None
        self.received.add(_rate(before, snapshot, "received"))
        self.sent.add(_rate(before, snapshot, "sent"))
        self.loop_lag.add(snapshot.stats["process"]["event_loop_lag_ms"])

    def miss(self, reason: str) -> None:
        """The server did not answer."""
        self.away = reason
        for curve in (self.received, self.sent, self.loop_lag):
            curve.add(None)

    def seconds_away(self, now: float) -> float:
        """Since the last answer."""
        return now - self.latest.at


def _rate(before: Snapshot, after: Snapshot, counter: str) -> float | None:
    """Per second between two snapshots; None across a restart, where counters begin anew."""
    restarted = before.stats["server"]["started_at"] != after.stats["server"]["started_at"]
    seconds = after.at - before.at
    if restarted or seconds <= 0:
        return None
    grown: float = after.stats["messages"][counter] - before.stats["messages"][counter]
    return max(0.0, grown / seconds)
