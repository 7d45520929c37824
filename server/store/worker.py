"""A thread that does one job at a time and hands each result back to the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Worker:
    """Jobs run in the order of their submission; so do their results arrive.

    Leaner than an executor, whose futures cost more than a small commit.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """The job's result, or what it raised."""
        future: asyncio.Future[R] = self._loop.create_future()
        self._jobs.put((job, future))
        return future

    async def stop(self) -> None:
        """Ends the thread once all that was submitted is done."""
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, future = entry
            try:
                result = job()
            except BaseException as fault:
                self._loop.call_soon_threadsafe(_reject, future, fault)
            else:
                self._loop.call_soon_threadsafe(_resolve, future, result)


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _reject(future: "asyncio.Future[Any]", fault: BaseException) -> None:
    if not future.done():
        future.set_exception(fault)
