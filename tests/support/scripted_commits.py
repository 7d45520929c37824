"""A store that commits when a test tells it to."""

import asyncio
from typing import Generic, TypeVar

from server.ports import Batch, PendingCommit

Item = TypeVar("Item")
Result = TypeVar("Result")


class ScriptedCommits(Generic[Item, Result]):
    """Takes batches as a store does. Each is open until the test claims and settles it."""

    def __init__(self) -> None:
        self.batches: list[Batch[Item]] = []
        self.answers: list[asyncio.Future[list[Result]]] = []

    def save(self, batch: Batch[Item]) -> PendingCommit[Result]:
        self.batches.append(batch)
        self.answers.append(asyncio.get_running_loop().create_future())
        return PendingCommit(self.answers[-1])
