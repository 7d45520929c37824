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
        self._pending = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """The job's result, or what it raised."""
        future: asyncio.Future[R] = self._loop.create_future()
        self._pending += 1
        self._jobs.put((job, future))
        return future

    @property
    def is_idle(self) -> bool:
        """Whether the event loop may use for a moment what the thread's jobs work on."""
        return not self._pending

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
                self._loop.call_soon_threadsafe(self._settle, future.set_exception, future, fault)
            else:
                self._loop.call_soon_threadsafe(self._settle, future.set_result, future, result)

    def _settle(self, settle: Callable[[Any], None], future: "asyncio.Future[Any]", value: Any) -> None:
        self._pending -= 1
        if not future.done():
            settle(value)
