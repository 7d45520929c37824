"""When messages are due: an open model, in which a slow server does not slow the senders down."""

from random import Random
from typing import Final

from server.protocol import RateLimit

# Evenly spaced sends stay this far below a limit, for clocks and sockets that bunch some of them together.
_SHARE_OF_LIMIT: Final = 0.8


class Arrivals:
    """The due times of one sender, in seconds of the clock that `start` is of.

    Without a limit they are a Poisson process. Where the sender's user has a rate limit, they are evenly
    spaced, and slower than asked for if need be: the bursts of a Poisson process would be refused.
    """

    def __init__(self, rate: float, start: float, random: Random, limit: RateLimit | None = None) -> None:
        self._random = random
        self._even = limit is not None
        self.rate = rate if limit is None else min(rate, _SHARE_OF_LIMIT * limit.messages / limit.window)
        self._due = start + random.random() / self.rate if self._even else start

    def next(self) -> float:
        """When the next message is due."""
        due = self._due + (0.0 if self._even else self._random.expovariate(self.rate))
        self._due = due + (1 / self.rate if self._even else 0.0)
        return due
