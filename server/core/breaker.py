"""Decides how many calls a service gets: all that are wanted, one probe while it is down, then ever more."""

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from server.core.retrying import Backoff

BREAKER_STATES: Final = ("closed", "open", "half_open")


class Call(NamedTuple):
    """One call as the breaker knows it. `began` in monotonic seconds."""

    period: int
    began: float


@dataclass(slots=True)
class Breaker:
    """A circuit breaker over all calls to one service. `most`: calls at the same time. No I/O, no clock."""

    most: int
    backoff: Backoff = field(default_factory=Backoff)
    failures: int = 0  # probes in a row that found the service down
    not_before: float = -math.inf  # monotonic seconds: no call begins earlier
    limit: int = field(init=False)  # calls at the same time, now
    _period: int = 0  # it begins with each failure that counts
    _running: int = 0  # calls of this period
    _all_running: int = 0
    _answered_at: float = -math.inf

    def __post_init__(self) -> None:
        self.limit = self.most

    @property
    def state(self) -> str:
        """Name it as /stats does: `closed` (all is well), `open` (down) or `half_open` (the slow start)."""
        if self.failures:
            return "open"
        return "closed" if self.limit == self.most else "half_open"

    def may_begin(self, now: float) -> bool:
        """Tell whether one more call may begin. Those that still hang from before an outage stop no probe."""
        has_room = self._running < self.limit and self._all_running < self.most
        return has_room and now >= self.not_before

    def begin(self, now: float) -> Call:
        """Note a call; hand it back to `answered` or `failed`, and to `over` in any case."""
        self._running += 1
        self._all_running += 1
        return Call(self._period, now)

    def over(self, call: Call) -> None:
        """Note the end of a call, once."""
        self._all_running -= 1
        if call.period == self._period:
            self._running -= 1

    def answered(self, call: Call, now: float) -> None:
        """Hear that the service answered. After an outage each answer makes room for one more call."""
        if self.failures and call.period != self._period:
            return  # begun before the service went down
        self._answered_at = now
        self.failures = 0
        self.limit = min(self.most, self.limit + 1)

    def failed(
        self, call: Call, now: float, fraction: float, retry_after: float | None, is_timeout: bool
    ) -> bool:
        """Hear that a call found the service down; whether that is so.

        Not where calls that began with it, or later, were answered meanwhile: then that turn alone is slow.
        Those that were under way when another one failed tell nothing new. `fraction` as for Backoff.
        """
        if call.period != self._period:
            return self.failures > 0
        if is_timeout and self._answered_at > call.began:
            return False
        self._period += 1
        self._running = 0
        self.failures += 1
        self.limit = 1
        self.not_before = now + self.backoff.pause(self.failures, fraction, retry_after)
        return True
