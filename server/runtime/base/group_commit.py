"""Group commit: whatever arrives while one transaction runs goes into the next.

No timer gathers: at low load an item is committed at once and alone, at high load in batches that
keep the database busy. One timer watches the deadlines.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from server.ports import Batch, Commit, PendingCommit

# They are broadcast and answered in one go, which holds up the loop for some 10 ms. Only a backlog is larger.
MAX_BATCH: Final = 1024
_RECHECK_SECONDS: Final = 0.05  # between looks at items whose time is over but whose fate is open


class HasArrived(Protocol):
    arrived: float  # monotonic seconds


Item = TypeVar("Item", bound=HasArrived)
Result = TypeVar("Result")


class CommitSink(Protocol[Item, Result]):
    """Learns what became of each item: exactly one of settled, withdrawn and failed."""

    def settled(self, items: list[Item], results: list[Result], seconds: float) -> None:
        """The transaction is over, after so many seconds."""

    def withdrawn(self, items: list[Item]) -> None:
        """Their time is over; they are not and will not be in the database."""

    def overdue(self, items: list[Item]) -> None:
        """Some have waited longer than the timeout, but their transaction is under way. Repeated."""

    def failed(self, items: list[Item], fault: BaseException) -> None:
        """The store raised."""


class GroupCommit(Generic[Item, Result]):
    """One transaction at a time. `timeout`: seconds from an item's arrival to its claim by the store."""

    def __init__(
        self,
        commit: Callable[[Batch[Item]], Commit[Result]],
        sink: CommitSink[Item, Result],
        timeout: float,
    ) -> None:
        self._commit = commit
        self._sink = sink
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Item] = []
        self._batch: Batch[Item] | None = None  # the one that is being committed
        self._batch_size = 0
        self._batch_oldest = 0.0
        self._started = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None  # of whoever waits for it

    @property
    def pending(self) -> int:
        """Items whose fate is open."""
        return len(self._waiting) + (self._batch_size if self._batch else 0)

    @property
    def busy_since(self) -> float:
        """When the commit under way began, by time.perf_counter; infinity without one."""
        return math.inf if self._batch is None else self._started

    @property
    def under_way(self) -> list[Item]:
        """What is being committed."""
        return [] if self._batch is None else self._batch.items

    def release(self, may_go: Callable[[Item], bool]) -> list[Item]:
        """Returns those of the waiting that may go: they are the caller's from now on."""
        gone = [item for item in self._waiting if may_go(item)]
        self._waiting = [item for item in self._waiting if not may_go(item)]
        return gone

    def give_up(self, item: Item) -> None:
        """Forget an item that nobody waits for any more, unless its transaction is under way."""
        if item in self._waiting:
            self._waiting.remove(item)
        elif self._batch is not None:
            self._batch.withdraw(lambda other: other is item)

    def submit(self, item: Item) -> None:
        if self._batch is None and not self._waiting:
            self._loop.call_soon(self._start)  # takes in what this turn of the loop brings
        self._waiting.append(item)
        if self._timer is None:
            self._watch(item.arrived)

    async def drained(self) -> None:
        """Waits until nothing is pending."""
        while self.pending:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def _start(self) -> None:
        if self._batch is not None:  # the end of a commit, or another call of this turn, has begun one
            return
        if self._waiting:
            self._begin().when_over(self._end)
        else:
            self._tell_drained()  # all were withdrawn

    def _begin(self) -> Commit[Result]:
        """Commits what waits."""
        items, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._batch, self._batch_size, self._batch_oldest = Batch(items), len(items), items[0].arrived
        self._started = time.perf_counter()
        try:
            return self._commit(self._batch)
        except Exception as fault:
            failed: asyncio.Future[list[Result]] = self._loop.create_future()
            failed.set_exception(fault)
            return PendingCommit(failed)

    def _end(self, results: list[Result], fault: BaseException | None) -> None:
        assert self._batch is not None
        items, self._batch = self._batch.items, None
        seconds = time.perf_counter() - self._started
        following = self._begin() if self._waiting else None  # it overlaps with the fan-out of this one
        try:
            if fault is not None:
                self._sink.failed(items, fault)
            elif items:
                self._sink.settled(items, results, seconds)
        finally:
            if following is not None:
                following.when_over(self._end)
            else:
                self._tell_drained()

    def _tell_drained(self) -> None:
        if self._drained is not None and not self.pending:
            self._drained.set_result(None)
            self._drained = None

    def _watch(self, arrived: float) -> None:
        delay = max(arrived + self._timeout - time.monotonic(), _RECHECK_SECONDS)
        self._timer = self._loop.call_later(delay, self._expire)

    def _expire(self) -> None:
        self._timer = None
        limit = time.monotonic() - self._timeout
        if self._batch is not None and self._batch_oldest <= limit:
            self._expire_batch(self._batch, limit)
        due = [item for item in self._waiting if item.arrived <= limit]
        if due:
            self._waiting = [item for item in self._waiting if item.arrived > limit]
            self._sink.withdrawn(due)
        if self._batch is not None:
            self._watch(self._batch_oldest)
        elif self._waiting:
            self._watch(self._waiting[0].arrived)

    def _expire_batch(self, batch: Batch[Item], limit: float) -> None:
        withdrawn = batch.withdraw(lambda item: item.arrived <= limit)
        if withdrawn is None:
            self._sink.overdue(batch.items)
        elif withdrawn:
            self._sink.withdrawn(withdrawn)
