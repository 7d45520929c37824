"""Keys with a time each: which are due, and when the next one is. The clock is the caller's."""

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Setting a key again moves its deadline."""

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # with entries that have been moved or dropped
        self._count = itertools.count()

    def __contains__(self, key: K) -> bool:
        return key in self._at

    def set(self, key: K, at: float) -> None:
        self._at[key] = at
        heapq.heappush(self._heap, (at, next(self._count), key))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._heap = [(at, next(self._count), key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> bool:
        """Whether there was one."""
        return self._at.pop(key, None) is not None

    def next(self) -> float | None:
        """When the next one is due."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float, most: int) -> list[K]:
        """Those whose time is over, the earliest first, and no more than `most`; they are forgotten."""
        due: list[K] = []
        while len(due) < most and (at := self.next()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            due.append(key)
        return due
