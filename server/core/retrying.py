"""Decides when what failed is tried again."""

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

_MAX_DOUBLINGS: Final = 32  # far beyond any longest pause, and no number overflows
_JITTER: Final = 0.2  # of a pause: those who failed together do not come back together
_MAX_RETRY_AFTER: Final = 3600.0  # seconds; what a service asks for beyond is not believed


class FailureKind(StrEnum):
    """Why no answer could be made, as /stats counts it."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"  # the same request will hardly do better: a wrong key, an unknown model
    UPSTREAM_ERROR = "upstream_error"
    TRUNCATED = "truncated"  # the answer ended, and it is not known to be whole
    EMPTY = "empty"  # nothing of the answer can be shown
    UNAVAILABLE = "unavailable"  # the service, or what stands before it, says that it cannot now
    GONE = "gone"  # the service wants nothing more, ever

    @property
    def is_outage(self) -> bool:
        """Tell whether it says that the service is down, and nothing about the turn."""
        return self in _OUTAGES


_OUTAGES: Final = frozenset(
    {FailureKind.TIMEOUT, FailureKind.UNREACHABLE, FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Gives pauses that double with each failure in a row: from `first` to `longest` seconds."""

    first: float = 1.0
    longest: float = 60.0

    def pause(
        self, failures: int, fraction: float, retry_after: float | None = None, is_slow: bool = False
    ) -> float:
        """Compute the seconds until the next try.

        `failures` in a row, at least 1; `fraction` is random, from 0 to 1; `retry_after`: not sooner than
        that, as the service asked; `is_slow`: as seldom as ever, for what hardly mends itself.
        """
        doublings = min(failures - 1, _MAX_DOUBLINGS)
        pause = self.longest if is_slow else min(self.longest, self.first * 2.0**doublings)
        return max(pause * (1 - _JITTER * fraction), (retry_after or 0.0) * (1 + _JITTER * fraction))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from `now` (since the epoch).

    None where it is neither.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _seconds_until(date: str, now: float) -> float:
    try:
        at = parsedate_to_datetime(date)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return math.nan
