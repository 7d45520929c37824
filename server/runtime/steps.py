"""What concerns many is done in steps, between which everybody else has a turn of the loop."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

STEP: Final = 100
"""Connections, rooms or timers in one step: some milliseconds at most, whatever is done to each."""


def steps(items: Iterable[T]) -> Iterator[list[T]]:
    """Of those that there are now: between the steps they may come and go."""
    rest = list(items)
    for start in range(0, len(rest), STEP):
        yield rest[start : start + STEP]
