"""Latencies over the last minute, in buckets an eighth of an octave wide: recording is one addition."""

from collections import deque
from math import log2
from typing import Final

SLOT_SECONDS: Final = 5
SLOTS: Final = 12  # a minute
_STEPS: Final = 8  # buckets to a doubling: a percentile is off by 6% at the most
_BUCKETS: Final = 27 * _STEPS  # up to 2**27 microseconds, two minutes


def _middle(bucket: int) -> float:
    """Milliseconds in the middle of a bucket."""
    return (2 ** ((bucket + 0.5) / _STEPS) - 1) / 1000


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

    def summary(self) -> dict[str, float]:
        """`p50`, `p95`, `p99` and `max` in milliseconds; zeros when there was nothing."""
        slots = [*self._past, (self._current, self._maximum)]
        totals = [sum(column) for column in zip(*(counts for counts, _ in slots), strict=True)]
        most = max(maximum for _, maximum in slots) * 1000
        # The middle of a bucket may lie above all that is in it.
        result = {f"p{p}": round(min(self._percentile(totals, p / 100), most), 3) for p in (50, 95, 99)}
        return result | {"max": round(most, 3)}

    @staticmethod
    def _percentile(totals: list[int], fraction: float) -> float:
        rank = fraction * sum(totals)
        seen = 0
        for bucket, count in enumerate(totals):
            seen += count
            if count and seen >= rank:
                return _middle(bucket)
        return 0.0
