"""A group commit whose items are awaited, one by one."""

import asyncio
from collections.abc import Callable
from typing import Generic

from server.ports import Batch, Commit, StoreUnavailable
from server.runtime.base.group_commit import GroupCommit, Item, Result


class AwaitedCommit(Generic[Item, Result]):
    """For what is idempotent: whoever waited too long is told so, and may ask again.

    `timeout`: as for GroupCommit. `complaint`: what they are told. Items are equal to themselves alone.
    """

    def __init__(
        self,
        commit: Callable[[Batch[Item]], Commit[Result]],
        timeout: float,
        complaint: str,
    ) -> None:
        self._complaint = complaint
        self._answers: dict[Item, asyncio.Future[Result]] = {}
        self._queue: GroupCommit[Item, Result] = GroupCommit(commit, self, timeout)

    async def save(self, item: Item) -> Result:
        """Raises StoreUnavailable. Cancelled, it is saved only where its transaction is under way."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._answers[item] = answer
        self._queue.submit(item)
        try:
            return await answer
        except asyncio.CancelledError:
            del self._answers[item]
            self._queue.give_up(item)
            raise

    def settled(self, items: list[Item], results: list[Result], seconds: float) -> None:
        for item, result in zip(items, results, strict=True):
            answer = self._answers.pop(item, None)
            if answer is not None and not answer.done():
                answer.set_result(result)

    def withdrawn(self, items: list[Item]) -> None:
        self._fail(items)

    def overdue(self, items: list[Item]) -> None:
        self._fail(items)

    def failed(self, items: list[Item], fault: BaseException) -> None:
        self._fail(items)

    def _fail(self, items: list[Item]) -> None:
        for item in items:
            answer = self._answers.pop(item, None)
            if answer is not None and not answer.done():
                answer.set_exception(StoreUnavailable(self._complaint))
