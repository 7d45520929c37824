"""A thread that does one job at a time and hands each result back to the event loop."""

import asyncio
import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

R = TypeVar("R")

_BYTE: Final = b"."
_WAKES: Final = 4096  # bytes: of the wake-ups that one read takes together


class _Job(Generic[R]):
    """Is done in the thread, once; then `hand_back` is for the event loop."""

    __slots__ = ("_fault", "_is_optional", "_result", "_run", "future")

    def __init__(
        self, run: Callable[[], R], future: "asyncio.Future[R] | None", is_optional: bool = False
    ) -> None:
        self._run = run
        self._is_optional = is_optional
        self._result: R
        self._fault: BaseException | None = None
        self.future = future

    def do(self) -> None:
        if self._is_optional and self.future is not None and self.future.cancelled():
            return
        try:
            self._result = self._run()
        except BaseException as fault:
            self._fault = fault

    def result(self) -> R:
        if self._fault is not None:
            raise self._fault
        return self._result

    def hand_back(self) -> None:
        if self.future is None or self.future.done():  # cancelled: nobody waits
            return
        if self._fault is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._fault)


class _AwaitedJob(_Job[R]):
    """A job for whose end the event loop stands still, up to a limit; past that it has a future."""

    __slots__ = ("is_over", "was_taken")

    def __init__(self, run: Callable[[], R]) -> None:
        super().__init__(run, None)
        self.is_over = False
        self.was_taken = False  # by the loop, in the last moment: there is nothing to hand back


class Worker:
    """Jobs run in the order of their submission; so do their results arrive.

    Leaner than an executor, whose futures cost more than a small commit. `patience`: milliseconds that the
    loop stands still at most for a job of `submit_and_wait`.

    Thread and loop wake each other by file descriptors, since a system call is made without the
    interpreter's lock: the other side finds it free. Woken by a lock of Python's, it would wait for that a
    second time, which costs a third of a small commit.
    """

    def __init__(self, name: str, patience: int = 1) -> None:
        self._jobs: deque[list[_Job[Any]] | _AwaitedJob[Any] | None] = deque()
        self._gathered: list[_Job[Any]] = []
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._woken, self._wake = os.pipe()  # a byte, or several: there are jobs
        self._done, self._do_tell = os.pipe()  # a byte: the awaited job is done
        os.set_blocking(self._wake, False)
        self._patience = patience
        self._poll = select.poll()  # waits by the clock; a timeout of a socket is rounded up to some ticks
        self._poll.register(self._done, select.POLLIN)
        self.pending = 0  # jobs whose results the event loop does not have yet
        # A daemon: a thread that is stuck in a system call must not keep the process from its end.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """Return a future of the job's result, or of what it raises."""
        future = self._add(job)
        self._hand_over()
        return future

    def gather(self, job: Callable[[], R]) -> "asyncio.Future[R]":
        """Do the same, handing over at the end of this turn of the loop with what else was gathered.

        A job whose future is cancelled before its turn is not done: for reads that nobody waits for any more.
        Waking a thread, and then the loop, costs more than a small query: this does it once for all.
        """
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        return self._add(job, is_optional=True)

    def submit_and_wait(self, job: Callable[[], R]) -> "R | asyncio.Future[R]":
        """Return the job's result if the thread has it within the patience; else a future of it.

        To be called while nothing is pending. The loop stands still for that time and no longer, whatever
        becomes of the job; in return a short one is over sooner than by way of the loop's next turn.
        Raises what the job raises.
        """
        awaited = _AwaitedJob(job)
        self._put(awaited)
        if self._is_told():
            return awaited.result()
        awaited.future = self._loop.create_future()
        # Done just before the thread could see the future: then it only has to tell.
        if awaited.is_over and self._is_told():
            awaited.was_taken = True
            return awaited.result()
        self.pending += 1
        return awaited.future

    async def stop(self) -> None:
        """Wait until all that was submitted is done and the thread has ended.

        A thread that is stuck ends with the process: then this is cancelled, and nothing is lost by it.
        """
        self._hand_over()
        self._put(None)
        await self._ended
        for descriptor in (self._woken, self._wake, self._done, self._do_tell):
            os.close(descriptor)

    def _add(self, job: Callable[[], R], is_optional: bool = False) -> "asyncio.Future[R]":
        future: asyncio.Future[R] = self._loop.create_future()
        self._gathered.append(_Job(job, future, is_optional))
        self.pending += 1
        return future

    def _hand_over(self) -> None:
        if self._gathered:
            self._put(self._gathered)
            self._gathered = []

    def _put(self, jobs: list[_Job[Any]] | _AwaitedJob[Any] | None) -> None:
        self._jobs.append(jobs)
        with contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups
            os.write(self._wake, _BYTE)

    def _is_told(self) -> bool:
        if not self._poll.poll(self._patience):
            return False
        os.read(self._done, 1)
        return True

    def _run(self) -> None:
        while True:
            os.read(self._woken, _WAKES)
            while self._jobs:
                if (jobs := self._jobs.popleft()) is None:
                    self._tell(self._ended.set_result, None)
                    return
                self._do(jobs)

    def _do(self, jobs: list[_Job[Any]] | _AwaitedJob[Any]) -> None:
        if isinstance(jobs, _AwaitedJob):
            jobs.do()
            jobs.is_over = True
            os.write(self._do_tell, _BYTE)
            if jobs.future is not None:
                self._tell(self._end_awaited, jobs)
            return
        for job in jobs:
            job.do()
        self._tell(self._end, jobs)

    def _tell(self, callback: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process did not wait for us
            self._loop.call_soon_threadsafe(callback, value)

    def _end(self, jobs: list[_Job[Any]]) -> None:
        self.pending -= len(jobs)
        for job in jobs:
            job.hand_back()

    def _end_awaited(self, job: _AwaitedJob[Any]) -> None:
        if not job.was_taken:
            self._is_told()  # which nobody has read
            self._end([job])
