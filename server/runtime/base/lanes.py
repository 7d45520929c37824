"""Group commits side by side, for a store that can commit in several transactions at the same time."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from server.ports import Batch, Commit
from server.runtime.base.group_commit import CommitSink, GroupCommit, HasArrived, Result

# One large commit costs half of what four small ones do, so a second one begins only where the first takes
# longer than they usually do: where it waits for a lock, a lost connection or a slow disk.
_PATIENCE: Final = 0.02  # seconds


class OfConversation(HasArrived, Protocol):
    conversation_key: int


Item = TypeVar("Item", bound=OfConversation)


class Lanes(Generic[Item, Result]):
    """Everything goes through the first group commit, until a commit there takes long: then what waits for it
    or comes, of other conversations, goes through the next. What is open of a conversation is in one
    lane, so that the order stays. Parameters as for GroupCommit.
    """

    def __init__(
        self,
        commit: Callable[[Batch[Item]], Commit[Result]],
        sink: CommitSink[Item, Result],
        timeout: float,
        lanes: int,
    ) -> None:
        self._sink = sink
        self._lanes: list[GroupCommit[Item, Result]] = [
            GroupCommit(commit, self, timeout) for _ in range(lanes)
        ]
        self._open: dict[int, tuple[GroupCommit[Item, Result], int]] = {}  # lane and items, by conversation
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> int:
        """Items whose fate is open."""
        return sum(lane.pending for lane in self._lanes)

    def submit(self, item: Item) -> None:
        lane, count = self._open.get(item.conversation_key) or (self._lane_for_more(), 0)
        self._open[item.conversation_key] = lane, count + 1
        lane.submit(item)
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE, self._look_after)

    async def drained(self) -> None:
        """Waits until nothing is pending."""
        while self.pending:
            for lane in self._lanes:
                await lane.drained()

    def settled(self, items: list[Item], results: list[Result], seconds: float) -> None:
        self._forget(items)
        self._sink.settled(items, results, seconds)

    def withdrawn(self, items: list[Item]) -> None:
        self._forget(items)
        self._sink.withdrawn(items)

    def overdue(self, items: list[Item]) -> None:
        self._sink.overdue(items)

    def failed(self, items: list[Item], fault: BaseException) -> None:
        self._forget(items)
        self._sink.failed(items, fault)

    def _look_after(self) -> None:
        """Where a commit takes long, lets what waits for it without need go through another lane."""
        self._timer = None
        latest = time.perf_counter() - _PATIENCE
        for lane in self._lanes:
            if lane.busy_since <= latest and (free := self._free_lane()) is not None:
                self._move(lane, free)
        if self.pending:
            self._timer = self._loop.call_later(_PATIENCE, self._look_after)

    def _move(self, lane: GroupCommit[Item, Result], free: GroupCommit[Item, Result]) -> None:
        bound = {item.conversation_key for item in lane.under_way}
        for item in lane.release(lambda item: item.conversation_key not in bound):
            self._open[item.conversation_key] = free, self._open[item.conversation_key][1]
            free.submit(item)

    def _lane_for_more(self) -> GroupCommit[Item, Result]:
        return self._free_lane() or min(self._lanes, key=lambda lane: lane.pending)

    def _free_lane(self) -> GroupCommit[Item, Result] | None:
        """Returns the first lane whose commit does not take long."""
        latest = time.perf_counter() - _PATIENCE
        for lane in self._lanes:
            if lane.busy_since > latest:
                return lane
        return None

    def _forget(self, items: list[Item]) -> None:
        for item in items:
            lane, count = self._open[item.conversation_key]
            if count == 1:
                del self._open[item.conversation_key]
            else:
                self._open[item.conversation_key] = lane, count - 1
