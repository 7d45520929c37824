"""What concerns many is done in steps, between which everybody else has a turn of the loop."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

BATCH_SIZE: Final = 50
"""Connections, rooms or timers in one step: some milliseconds at most, whatever is done to each."""


def in_batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Of those that there are now: between the steps they may come and go.

    Nothing is held on to: thousands of closed connections freed at once take some 25 ms.
    """
    rest = list(items)
    rest.reverse()
    while rest:
        step = rest[: -BATCH_SIZE - 1 : -1]
        del rest[-BATCH_SIZE:]
        yield step
