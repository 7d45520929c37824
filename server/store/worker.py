"""A thread that does one job at a time and hands each result back to the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Worker:
    """Jobs run in the order of their submission; so do their results arrive.

    Leaner than an executor, whose futures cost more than a small commit.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._loop = asyncio.get_running_loop()
        self.pending = 0  # jobs; while there are none, the event loop may use what they work on
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """The job's result, or what it raised."""
        future = self._add(job)
        self._hand_over()
        return future

    def gather(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """The same, handed to the thread at the end of this turn of the loop with what else was gathered.

        Waking a thread, and then the loop, costs more than a small query: this does it once for all.
        """
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        return self._add(job)

    async def stop(self) -> None:
        """Ends the thread once all that was submitted is done."""
        self._hand_over()
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _add(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        future: asyncio.Future[R] = self._loop.create_future()
        self._gathered.append((job, future))
        self.pending += 1
        return future

    def _hand_over(self) -> None:
        if self._gathered:
            self._jobs.put(self._gathered)
            self._gathered = []

    def _run(self) -> None:
        while (jobs := self._jobs.get()) is not None:
            results = [_result(*entry) for entry in jobs]
            self._loop.call_soon_threadsafe(self._settle, results)

    def _settle(self, results: list[_Result]) -> None:
        self.pending -= len(results)
        for future, value, fault in results:
            if future.done():  # cancelled: nobody waits
                continue
            if fault is None:
                future.set_result(value)
            else:
                future.set_exception(fault)


def _result(job: Callable[[], Any], future: "asyncio.Future[Any]") -> _Result:
    try:
        return future, job(), None
    except BaseException as fault:
        return future, None, fault
