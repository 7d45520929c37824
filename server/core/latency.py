"""Latencies over the last minute, in buckets an eighth of an octave wide: recording is one addition."""

from collections import deque
from collections.abc import Iterable
from math import log2
from typing import Final, NamedTuple

SLOT_SECONDS: Final = 5
SLOTS: Final = 12  # a minute
_STEPS: Final = 8  # buckets to a doubling: a percentile is off by 6% at the most
_BUCKETS: Final = 27 * _STEPS  # up to 2**27 microseconds, two minutes


def _middle(bucket: int) -> float:
    """Milliseconds in the middle of a bucket."""
    return (2 ** ((bucket + 0.5) / _STEPS) - 1) / 1000


class Latencies(NamedTuple):
    """How many durations fell into each bucket, and the longest in seconds."""

    counts: list[int]
    longest: float

    def summary(self) -> dict[str, float]:
        """Compute `p50`, `p95`, `p99` and `max` in milliseconds; zeros where there was nothing."""
        most = self.longest * 1000
        # The middle of a bucket may lie above all that is in it.
        result = {f"p{p}": round(min(self._percentile(p / 100), most), 3) for p in (50, 95, 99)}
        return result | {"max": round(most, 3)}

    def _percentile(self, fraction: float) -> float:
        rank = fraction * sum(self.counts)
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return _middle(bucket)
        return 0.0


def merged(latencies: Iterable[tuple[list[int], float]]) -> Latencies:
    """Add up those of several times, or of several processes. There has to be one at least."""
    counts, longest = zip(*latencies, strict=True)
    return Latencies([sum(column) for column in zip(*counts, strict=True)], max(longest))


class LatencyWindow:
    """Durations in seconds in, percentiles in milliseconds out. `advance` tells it the time."""

    __slots__ = ("_current", "_maximum", "_past")

    def __init__(self) -> None:
        self._current = [0] * _BUCKETS
        self._maximum = 0.0
        self._past: deque[tuple[list[int], float]] = deque(maxlen=SLOTS - 1)

    def record(self, seconds: float) -> None:
        """Into the current slot."""
        bucket = int(log2(seconds * 1e6 + 1) * _STEPS)
        self._current[bucket if bucket < _BUCKETS else -1] += 1
        if seconds > self._maximum:
            self._maximum = seconds

    def advance(self) -> None:
        """To be called every SLOT_SECONDS: begins a new slot and forgets the oldest."""
        self._past.append((self._current, self._maximum))
        self._current, self._maximum = [0] * _BUCKETS, 0.0

    def latencies(self) -> Latencies:
        """Give those of the last minute."""
        return merged([*self._past, (self._current, self._maximum)])

    def summary(self) -> dict[str, float]:
        """Compute `p50`, `p95`, `p99` and `max` in milliseconds; zeros where there was nothing."""
        return self.latencies().summary()


def summarize_durations(durations: Iterable[float]) -> dict[str, float]:
    """Compute `mean`, `p50`, `p95`, `max` in seconds, of seconds; zeros where there are none."""
    if not (ordered := sorted(durations)):
        return {"mean": 0.0, "p50": 0.0, "p95": 0.0, "max": 0.0}
    last = len(ordered) - 1
    return {
        "mean": round(sum(ordered) / len(ordered), 3),
        "p50": round(ordered[last // 2], 3),
        "p95": round(ordered[round(last * 0.95)], 3),
        "max": round(ordered[-1], 3),
    }
