"""Group commits side by side, for a store that commits in several transactions at the same time."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from server.ports import Batch, Commit
from server.runtime.base.group_commit import CommitSink, GroupCommit, HasArrived, Result


class OfConversation(HasArrived, Protocol):
    conversation_key: int


Item = TypeVar("Item", bound=OfConversation)


class Lanes(Generic[Item, Result]):
    """Each conversation's items go through one group commit, so that their order stays.

    A slow commit holds up the conversations of its lane only. Parameters as for GroupCommit.
    """

    def __init__(
        self,
        commit: Callable[[Batch[Item]], Commit[Result]],
        sink: CommitSink[Item, Result],
        timeout: float,
        lanes: int,
    ) -> None:
        self._lanes = [GroupCommit(commit, sink, timeout) for _ in range(lanes)]

    @property
    def pending(self) -> int:
        """Items whose fate is open."""
        return sum(lane.pending for lane in self._lanes)

    def submit(self, item: Item) -> None:
        self._lanes[item.conversation_key % len(self._lanes)].submit(item)

    async def drained(self) -> None:
        """Waits until nothing is pending."""
        while self.pending:
            for lane in self._lanes:
                await lane.drained()
