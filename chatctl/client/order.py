"""Which seqs this device has, and whether a connection delivers them as the protocol promises."""

from bisect import bisect_right
from enum import StrEnum


class OrderFault(StrEnum):
    """How a message broke the promise "in seq order, each once" of its connection."""

    SKIPPED = "skipped"  # it came before one or more others
    LATE = "late"  # one with a higher seq had come before it
    DUPLICATE = "duplicate"  # this connection had delivered it already


class SeqLog:
    """The seqs seen: all up to `newest` but those in `holes`.

    Two things are told apart: what is new to the device, over all of its connections, and what the
    present connection owes next (a replay may repeat, by right, what was seen above a hole).
    """

    def __init__(self, newest: int = 0) -> None:
        self.newest = newest
        self.holes: list[tuple[int, int]] = []  # (first, last), ascending, disjoint
        self._due = newest + 1

    @property
    def complete_to(self) -> int:
        """Everything up to here has been seen: the `last_seq` of a reconnect."""
        return self.holes[0][0] - 1 if self.holes else self.newest

    def expect(self, seq: int) -> None:
        """A new connection is going to deliver from `seq` on."""
        self._due = seq

    def miss(self, last: int) -> None:
        """What is not yet known, up to `last`, will not come by itself."""
        if last > self.newest:
            self.holes.append((self.newest + 1, last))
            self.newest = last

    def deliver(self, seq: int) -> tuple[bool, OrderFault | None]:
        """A connection delivered `seq`: whether it is new to the device, and what is wrong with it."""
        due = self._due
        new = self._see(seq)
        if seq < due:
            return new, OrderFault.LATE if new else OrderFault.DUPLICATE
        self._due = seq + 1
        return new, None if seq == due else OrderFault.SKIPPED

    def fill(self, seq: int) -> bool:
        """The history had `seq`: whether that was missing."""
        at = bisect_right(self.holes, seq, key=lambda hole: hole[0]) - 1
        if at < 0 or seq > self.holes[at][1]:
            return False
        first, last = self.holes[at]
        self.holes[at : at + 1] = [part for part in ((first, seq - 1), (seq + 1, last)) if part[0] <= part[1]]
        return True

    def _see(self, seq: int) -> bool:
        if seq <= self.newest:
            return self.fill(seq)
        self.miss(seq - 1)
        self.newest = seq
        return True
