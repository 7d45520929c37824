"""How much a server takes: doubled until it is too much, then halved in between. Pure."""

from math import sqrt
from typing import Final

_PRECISION: Final = 1.1  # the answer is within 10%


class Search:
    """Ask `next_try` for what to try, tell how it went, until there is nothing more to try.

    Attributes:
        held: The most at which the objectives held; None where none did yet.
        failed: The least at which they did not.
    """

    def __init__(self, start: float, most: float, least: float = 1.0) -> None:
        self.held: float | None = None
        self.failed: float | None = None
        self._start = start
        self._most = most
        self._least = least

    def next_try(self) -> float | None:
        """Return what to try next; None once the answer is known."""
        if self.held is None and self.failed is None:
            return self._start
        if self.failed is None:
            assert self.held is not None
            return None if self.held >= self._most else min(self._most, 2 * self.held)
        if self.held is None:
            return None if self.failed <= self._least else max(self._least, self.failed / 2)
        if self.failed / self.held <= _PRECISION or self.failed - self.held <= self._least:
            return None
        return sqrt(self.held * self.failed)

    def tell(self, tried: float, did_hold: bool) -> None:
        """Note how it went."""
        if did_hold:
            self.held = tried
        else:
            self.failed = tried
