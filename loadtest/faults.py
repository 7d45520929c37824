"""What happens to servers, done by real means to one of our own, one thing after another, under load."""

import itertools
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from loadtest.local_server import LocalServer, ServerFailed
from loadtest.progress import Phase, Progress
from loadtest.result import Check

PAUSE: Final = 1.0
"""Seconds before each fault: the devices come back, and the load is as it was."""

_START_SECONDS: Final = 3.0  # at most, on a busy machine; only by the schedule
_LOCK_MS: Final = 5000  # the server holds the lock itself, again and again
_SMALL_DISK: Final = 1 << 28  # bytes: what is less is filled up


class Unmastered(Exception):
    """The server did not take the fault as it should; the message says how."""


class Fault(NamedTuple):
    """`seconds` is how long it takes at most."""

    name: str
    seconds: float
    inflict: Callable[[LocalServer], None]


def round_of(settings: Mapping[str, str]) -> tuple[Fault, ...]:
    """One of each. `settings`: those of the server, as environment variables."""
    store_timeout = float(settings["CHAT_STORE__TIMEOUT"])
    heartbeat_timeout = float(settings["CHAT_HEARTBEAT__TIMEOUT"])
    grace = float(settings["CHAT_SERVER__SHUTDOWN_GRACE"])
    return (
        Fault("kill -9, and a start on the same database", _START_SECONDS, _kill),
        Fault("SIGTERM, and a start", grace + _START_SECONDS, partial(_terminate, grace=grace)),
        _held("SIGSTOP, shorter than heartbeat.timeout", _stopped, 0.5 * heartbeat_timeout),
        _held("SIGSTOP, longer than heartbeat.timeout", _stopped, 1.5 * heartbeat_timeout),
        _held("database locked, shorter than store.timeout", _locked, 0.5 * store_timeout),
        _held("database locked, longer than store.timeout", _locked, 2 * store_timeout),
        _held("disk full, longer than store.timeout", _full, 1.5 * store_timeout),
    )


def seconds_of(faults: Sequence[Fault]) -> float:
    """How long one round takes at most."""
    return sum(PAUSE + fault.seconds for fault in faults) + PAUSE


class Inflicting:
    """From the end of the warm-up on, again and again, as long as the next one is over before the load ends.

    Attributes:
        checks: What was done, and whether the server took it as it should.
    """

    def __init__(
        self, server: LocalServer, faults: Sequence[Fault], total: float, pause: float = PAUSE
    ) -> None:
        self.checks: list[Check] = []
        self._server = server
        self._faults = faults
        self._total = total
        self._pause = pause
        self._began = 0.0  # the load, monotonic seconds
        self._thread: threading.Thread | None = None

    def follow(self, progress: Progress) -> None:
        """To be told of the load, which ends `total` seconds after its start."""
        if self._thread is None and progress.phase is Phase.MEASURING:
            self._began = time.monotonic() - progress.t
            self._thread = threading.Thread(target=self._run)
            self._thread.start()

    def finish(self) -> None:
        """Waits for the last one."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        end = self._began + self._total
        for fault in itertools.cycle(self._faults):
            if time.monotonic() + self._pause + fault.seconds + self._pause > end:
                return
            time.sleep(self._pause)
            self.checks.append(self._inflict(fault))

    def _inflict(self, fault: Fault) -> Check:
        when = f"{time.monotonic() - self._began:.0f} s after the start"
        try:
            fault.inflict(self._server)
        except (Unmastered, ServerFailed, OSError, apsw.Error) as error:
            return Check(name=fault.name, passed=False, details=[str(error), when])
        return Check(name=fault.name, passed=True, details=[when])


def _kill(server: LocalServer) -> None:
    server.end(signal.SIGKILL)
    server.start()


def _terminate(server: LocalServer, grace: float) -> None:
    began = time.monotonic()
    code = server.end(signal.SIGTERM)
    took = time.monotonic() - began
    server.start()
    if code or took > grace:
        raise Unmastered(f"it ended with exit code {code} after {took:.1f} s")


def _held(name: str, state: Callable[[LocalServer], AbstractContextManager[None]], seconds: float) -> Fault:
    def inflict(server: LocalServer) -> None:
        with state(server):
            time.sleep(seconds)

    return Fault(f"{name} ({seconds:g} s)", seconds, inflict)


@contextmanager
def _stopped(server: LocalServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def _locked(server: LocalServer) -> Iterator[None]:
    """By another process, ours, that holds SQLite's write lock."""
    other = apsw.Connection(str(server.folder / "chat.db"))
    other.set_busy_timeout(_LOCK_MS)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def _full(server: LocalServer) -> AbstractContextManager[None]:
    """A small file system is really filled up; elsewhere the process may write to no file any more."""
    if shutil.disk_usage(server.folder).free < _SMALL_DISK:
        return _filled(server.folder / "ballast")
    return _writing_no_file(server.pid)


@contextmanager
def _filled(ballast: Path) -> Iterator[None]:
    chunk = bytes(4096)
    try:
        with ballast.open("wb", buffering=0) as file:
            with suppress(OSError):
                while True:
                    file.write(chunk)
            yield
    finally:
        ballast.unlink()


@contextmanager
def _writing_no_file(pid: int) -> Iterator[None]:
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
