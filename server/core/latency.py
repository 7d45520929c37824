"""Latencies over the last minute, in buckets an eighth of an octave wide: recording is one addition."""

from typing import Final

SLOT_SECONDS: Final = 5
SLOTS: Final = 12  # a minute
_STEPS: Final = 8  # buckets to a doubling: a percentile is off by 6% at the most
_BUCKETS: Final = 27 * _STEPS  # up to 2**27 microseconds, two minutes


def _bucket(microseconds: int) -> int:
    if microseconds < _STEPS:
        return microseconds if microseconds > 0 else 0
    octave = microseconds.bit_length() - 4
    return min(_BUCKETS - 1, octave * _STEPS + (microseconds >> octave))


def _middle(bucket: int) -> float:
    """Milliseconds in the middle of a bucket."""
    if bucket < 2 * _STEPS:
        return bucket / 1000
    octave = bucket // _STEPS - 1
    low = (bucket - octave * _STEPS) << octave
    return (low + (1 << octave) / 2) / 1000


class LatencyWindow:
    """Durations in seconds in, percentiles in milliseconds out. The clock's time is an argument."""

    __slots__ = ("_counts", "_maxima", "_slot")

    def __init__(self) -> None:
        self._counts = [[0] * _BUCKETS for _ in range(SLOTS)]
        self._maxima = [0.0] * SLOTS
        self._slot = 0

    def record(self, seconds: float) -> None:
        """Into the current slot; `advance` says which that is."""
        self._counts[self._slot][_bucket(int(seconds * 1e6))] += 1
        if seconds > self._maxima[self._slot]:
            self._maxima[self._slot] = seconds

    def advance(self) -> None:
        """To be called every SLOT_SECONDS: begins a new slot and forgets the oldest."""
        self._slot = (self._slot + 1) % SLOTS
        self._counts[self._slot] = [0] * _BUCKETS
        self._maxima[self._slot] = 0.0

    def summary(self) -> dict[str, float]:
        """`p50`, `p95`, `p99` and `max` in milliseconds; zeros when there was nothing."""
        totals = [sum(column) for column in zip(*self._counts, strict=True)]
        result = {f"p{p}": round(self._percentile(totals, p / 100), 3) for p in (50, 95, 99)}
        return result | {"max": round(max(self._maxima) * 1000, 3)}

    @staticmethod
    def _percentile(totals: list[int], fraction: float) -> float:
        rank = fraction * sum(totals)
        seen = 0
        for bucket, count in enumerate(totals):
            seen += count
            if count and seen >= rank:
                return _middle(bucket)
        return 0.0
