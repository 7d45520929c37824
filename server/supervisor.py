"""Keeps the worker processes of one machine: starts them, starts anew what dies, ends all in order."""

import asyncio
import os
import pickle
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from server.core.retrying import Backoff
from server.settings import Settings

log = structlog.get_logger()

_FORCED: Final = 130  # exit code of a program that Ctrl-C ended
_RESTARTS: Final = Backoff(first=0.5, longest=30.0)
_STEADY_SECONDS: Final = 60.0  # who lived so long has not failed in a row
_AFTER_GRACE_SECONDS: Final = 2.0  # for a worker that should have ended by itself
# -P: no folder that somebody happens to be in becomes part of the program.
_COMMAND: Final = (sys.executable, "-P", "-m", "server.worker")


@dataclass(frozen=True)
class WorkerPlace:
    """Which of the machine's workers a process is: `number` of `count`, their sockets in `folder`."""

    number: int
    count: int
    folder: Path

    @property
    def socket(self) -> Path:
        """Where the siblings ask this one."""
        return self._socket_of(self.number)

    @property
    def siblings(self) -> list[Path]:
        """Where the others are asked."""
        return [self._socket_of(number) for number in range(self.count) if number != self.number]

    def _socket_of(self, number: int) -> Path:
        return self.folder / f"{number}.sock"


class WorkerFailed(Exception):
    """A worker ended before it served; `exit_code` says how."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a worker ended with exit code {exit_code}")
        self.exit_code = exit_code


class Supervisor:
    """Ends by SIGTERM, SIGQUIT, Ctrl-C or SIGHUP; a second of the first three kills what still runs.

    A worker gets its settings and place pickled by its standard input, which stays open: its end, also by the
    death of the supervisor, tells the worker to end. It writes a line to its standard output once it serves.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Take settings whose port is the one that the workers share, and a folder that is theirs alone."""
        self._settings = settings
        self._folder = folder
        self._numbers = range(settings.server.workers)
        self._processes: dict[int, Process] = {}
        self._told_to_end = asyncio.Event()
        self._is_forced = False

    async def run(self, on_started: Callable[[], None]) -> int:
        """Run until told to end; the exit code: that of a worker that cannot start, which ends all."""
        with self._signals():
            work = asyncio.ensure_future(self._work(on_started))
            told = asyncio.ensure_future(self._told_to_end.wait())
            await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            work.cancel()
            await asyncio.wait({work})
            await self._end_all()
        if self._is_forced:
            return _FORCED
        return 0 if work.cancelled() else work.result()

    async def _work(self, on_started: Callable[[], None]) -> int:
        """Start the first alone: what is wrong for all is said once."""
        try:
            await self._start(0)
            await asyncio.gather(*map(self._start, self._numbers[1:]))
        except WorkerFailed as fault:
            return fault.exit_code
        on_started()
        await asyncio.gather(*map(self._keep, self._numbers))
        raise AssertionError("workers are kept for ever")

    async def _keep(self, number: int) -> None:
        failures = 0
        while True:
            process, began = self._processes[number], time.monotonic()
            exit_code = await process.wait()
            failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
            pause = _RESTARTS.pause(failures, random.random())
            log.error(
                "a worker ended, it is started anew",
                worker=number,
                worker_pid=process.pid,
                exit_code=exit_code,
                pause=round(pause, 1),
            )
            await asyncio.sleep(pause)
            with suppress(WorkerFailed):  # its end is seen above
                await self._start(number)

    async def _start(self, number: int) -> None:
        """Return once it serves. Raises WorkerFailed."""
        process = self._processes[number] = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdin is not None and process.stdout is not None
        place = WorkerPlace(number, len(self._numbers), self._folder)
        process.stdin.write(pickle.dumps((self._settings, place)))
        if not await process.stdout.readline():
            raise WorkerFailed(await process.wait())
        log.info("a worker serves", worker=number, worker_pid=process.pid)

    async def _end_all(self) -> None:
        """Let all end in order within the grace, then kill."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        ended = asyncio.gather(*(process.wait() for process in running))
        try:
            async with asyncio.timeout(self._settings.server.shutdown_grace + _AFTER_GRACE_SECONDS):
                await asyncio.shield(ended)
        except TimeoutError:
            self._kill_all()
            await ended

    def _kill_all(self) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGQUIT), self._end)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handlers[signal.SIGHUP] = self._told_to_end.set
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self._told_to_end.is_set():
            self._is_forced = True
            self._kill_all()
        self._told_to_end.set()
