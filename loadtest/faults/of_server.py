"""What happens to one server: it is killed, stopped, its database locked, its disk full."""

import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from loadtest.faults.inflicting import Fault, Unmastered, held
from loadtest.local_server import LocalServer

START_SECONDS: Final = 3.0
"""What a start takes at most, on a busy machine; only by the schedule."""

_LOCK_MS: Final = 5000  # the server holds the lock itself, again and again
_SMALL_DISK: Final = 1 << 28  # bytes: what is less is filled up


def round_of(settings: Mapping[str, str]) -> tuple[Fault[LocalServer], ...]:
    """Make one of each. `settings`: those of the server, as environment variables."""
    store_timeout = float(settings["CHAT_STORE__TIMEOUT"])
    heartbeat_timeout = float(settings["CHAT_HEARTBEAT__TIMEOUT"])
    grace = float(settings["CHAT_SERVER__SHUTDOWN_GRACE"])
    return (
        Fault("kill -9, and a start on the same database", START_SECONDS, kill),
        Fault("SIGTERM, and a start", grace + START_SECONDS, partial(terminate, grace=grace)),
        held("SIGSTOP, shorter than heartbeat.timeout", stopped, 0.5 * heartbeat_timeout),
        held("SIGSTOP, longer than heartbeat.timeout", stopped, 1.5 * heartbeat_timeout),
        held("database locked, shorter than store.timeout", _locked, 0.5 * store_timeout),
        held("database locked, longer than store.timeout", _locked, 2 * store_timeout),
        held("disk full, longer than store.timeout", _full, 1.5 * store_timeout),
    )


def kill(server: LocalServer) -> None:
    """End it at once, and start it on the same database."""
    server.end(signal.SIGKILL)
    server.start()


def terminate(server: LocalServer, grace: float) -> None:
    """Ask it to end, and start it again. Raises Unmastered where it took longer than `grace` seconds."""
    began = time.monotonic()
    code = server.end(signal.SIGTERM)
    took = time.monotonic() - began
    server.start()
    if code or took > grace:
        raise Unmastered(f"it ended with exit code {code} after {took:.1f} s")


@contextmanager
def stopped(server: LocalServer) -> Iterator[None]:
    """Let it stand still."""
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
