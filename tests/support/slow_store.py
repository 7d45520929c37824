"""A store that is busy for as long as a test wants."""

import asyncio

from server.core.model import Draft, Outcome
from server.ports import Batch, Commit, PendingCommit
from server.store.memory import MemoryStore


class SlowStore(MemoryStore):
    """Keeps each commit open until `commit`."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[tuple[Batch[Draft], asyncio.Future[list[Outcome]]]] = []
        self.is_slow = True

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        if not self.is_slow:
            return super().save(batch)
        batch.claim()
        self._open.append((batch, asyncio.get_running_loop().create_future()))
        return PendingCommit(self._open[-1][1])

    async def commit(self) -> None:
        self.is_slow = False
        for batch, future in self._open:
            future.set_result(await super().save(batch))
        self._open.clear()
