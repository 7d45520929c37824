"""Latencies as an HDR histogram: constant memory, exact merging, three significant digits."""

from __future__ import annotations

from typing import Final

from hdrh.histogram import HdrHistogram

SUMMARY_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}

_LONGEST_US: Final = 600_000_000
_SIGNIFICANT_DIGITS: Final = 3
_TICKS_PER_HALF_DISTANCE: Final = 5


class Latencies:
    """Recorded in seconds, told in milliseconds. What took longer than ten minutes counts as ten minutes."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_US, _SIGNIFICANT_DIGITS)

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def record(self, seconds: float) -> None:
        self._histogram.record_value(min(max(1, round(seconds * 1e6)), _LONGEST_US))

    def merge(self, other: Latencies) -> None:
        self._histogram.add(other._histogram)

    def percentile(self, percent: float) -> float | None:
        """The latency in ms that `percent` of all stay within; None when nothing was recorded."""
        if not self.count:
            return None
        return float(self._histogram.get_value_at_percentile(percent)) / 1e3

    def maximum(self) -> float | None:
        return self.percentile(100.0)

    def mean(self) -> float | None:
        return float(self._histogram.get_mean_value()) / 1e3 if self.count else None

    def summary(self) -> dict[str, float | int | None]:
        """p50, p90, p99, p99_9, max and mean in ms, and the count."""
        percentiles = {name: self.percentile(percent) for name, percent in SUMMARY_PERCENTILES.items()}
        return {**percentiles, "max": self.maximum(), "mean": _rounded(self.mean()), "count": self.count}

    def curve(self) -> list[tuple[float, float]]:
        """(percentile, ms) points, the closer together the nearer to 100: what an HDR plot draws."""
        if not self.count:
            return []
        ticks = self._histogram.get_percentile_iterator(_TICKS_PER_HALF_DISTANCE)
        return [(tick.percentile_level_iterated_to, tick.value_iterated_to / 1e3) for tick in ticks]

    def encode(self) -> str:
        """HdrHistogram's own compressed form, which `decode` and other HDR tools read."""
        return str(self._histogram.encode().decode("ascii"))

    @classmethod
    def decode(cls, encoded: str) -> Latencies:
        latencies = cls()
        latencies._histogram.decode_and_add(encoded.encode("ascii"))
        return latencies


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
