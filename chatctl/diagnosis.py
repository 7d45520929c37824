"""What `chatctl doctor` looks at: each check is a function from settings to findings."""

import ctypes
import os
import resource
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import apsw

from chatctl.api import Api
from chatctl.backplane_checks import check_backplane
from chatctl.failure import CommandError
from chatctl.findings import Finding, Verdict
from chatctl.postgres_checks import check_postgres
from server.settings import Settings, guessable, unbuilt
from server.store.file_lock import DatabaseInUse, FileLock
from server.store.sqlite_file import find_damage
from server.store.sqlite_schema import MIGRATIONS, read_version

MEBIBYTE = 2**20
LITTLE_SPACE, TOO_LITTLE_SPACE = 1024 * MEBIBYTE, 50 * MEBIBYTE
# An ACK waits for one of these; people begin to notice.
SLOW_SYNC_MS = 20.0
SYNC_SAMPLES = 9
# Beside its connections a server has its listener, database, log and loop open.
OTHER_FILES = 64
# The year in which this was written: a clock before it is not set at all.
YEAR_OF_BIRTH = 2026
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def examine(settings: Settings, is_deep: bool = False) -> Iterator[Finding]:
    """Make every check, one after the other; `is_deep` reads the whole database too."""
    checks: list[Callable[[Settings], Iterator[Finding]]] = [
        _config,
        _auth,
        _port,
        _database,
        _backplane,
        _file_limit,
        _clock,
    ]
    for check in checks:
        yield from check(settings)
    if is_deep:
        yield from _damage(settings)


def _config(settings: Settings) -> Iterator[Finding]:
    yield Finding("config", "ok", "valid")
    for line in unbuilt(settings):
        yield Finding("config", "warn", line)


def _auth(settings: Settings) -> Iterator[Finding]:
    for line in guessable(settings):
        yield Finding("auth", "warn", line)


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as fault:
        yield _port_fault(settings, fault)
    else:
        yield Finding("port", "ok", f"{host}:{port} is free")


def _port_fault(settings: Settings, fault: OSError) -> Finding:
    host, port = settings.server.host, settings.server.port
    if (status := _answering_server(host, port)) is not None:
        return Finding("port", "warn", f"a chat server answers on {host}:{port} already (status {status})")
    return Finding(
        "port", "fail", f"{host}:{port}: {fault.strerror}", "choose another server.host or server.port"
    )


def _answering_server(host: str, port: int) -> str | None:
    name = f"[{host}]" if ":" in host else host
    try:
        with Api(f"http://{name}:{port}", timeout=2) as api:
            return str(api.health()["status"])
    except (CommandError, LookupError, TypeError):
        return None


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.store.url
    if url == "memory://":
        yield Finding(
            "database", "warn", "memory:// keeps nothing over a restart", "set store.url to a sqlite:/// file"
        )
    elif url.startswith("sqlite:///"):
        yield from _sqlite(Path(url.removeprefix("sqlite:///")), settings.store.durability)
    else:
        yield from check_postgres(url, settings.store.pool)


def _sqlite(path: Path, durability: str) -> Iterator[Finding]:
    folder = path.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        problem = "cannot be written" if folder.exists() else "does not exist"
        yield Finding(
            "database", "fail", f"{folder} {problem}", "create it, or change its owner or store.url"
        )
        return
    yield _sqlite_file(path) if path.exists() else Finding("database", "ok", f"{path} will be created")
    yield from _readable_by_others(path)
    yield _disk_space(folder)
    if durability == "full":
        yield _sync_speed(folder)


def _sqlite_file(path: Path) -> Finding:
    lock = FileLock(path)
    try:
        version = read_version(path)
        lock.acquire()
        lock.release()
    except DatabaseInUse as fault:
        return Finding("database", "warn", f"{fault}, so no second server can use it")
    except (apsw.Error, OSError) as fault:
        return Finding(
            "database", "fail", f"{path}: {fault}", "restore it from a backup, or change store.url"
        )
    if version > len(MIGRATIONS):
        text = f"{path} has schema version {version}, this program knows {len(MIGRATIONS)}"
        return Finding("database", "fail", text, "install the newer program that wrote it")
    return Finding("database", "ok", f"{path}, schema version {version}")


def _damage(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.store.url.removeprefix("sqlite:///"))
    if settings.store.url.startswith("sqlite:///") and path.exists():
        try:
            found = find_damage(path)
        except apsw.Error as fault:
            found = [str(fault)]
        remedy = "restore a backup, or save what can be read: sqlite3 FILE .recover"
        for line in found:
            yield Finding("damage", "fail", line, remedy)
        if not found:
            yield Finding("damage", "ok", f"all of {path} can be read")


def _readable_by_others(path: Path) -> Iterator[Finding]:
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "database", "warn", f"{path} is open to other users of this machine", f"chmod 600 {path}"
        )


def _disk_space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "fail" if free < TOO_LITTLE_SPACE else "warn" if free < LITTLE_SPACE else "ok"
    remedy = "" if verdict == "ok" else "make room: what cannot be saved is NACKed store_unavailable"
    return Finding("disk", verdict, f"{free // MEBIBYTE:,} MiB free in {folder}", remedy)


def _sync_speed(folder: Path) -> Finding:
    """What each commit costs with durability "full"."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNC_SAMPLES):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    milliseconds = median(taken)
    text = f"a write reaches the disk in {milliseconds:.2f} ms"
    if milliseconds > SLOW_SYNC_MS:
        return Finding("disk", "warn", text, "each ACK waits that long; use a faster disk for store.url")
    return Finding("disk", "ok", text)


def _backplane(settings: Settings) -> Iterator[Finding]:
    if not settings.backplane.url:
        yield Finding("backplane", "ok", "none: this node is alone")
    else:
        yield from check_backplane(settings.backplane.url)


def _file_limit(settings: Settings) -> Iterator[Finding]:
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server raises its own limit to this
    needed = settings.connections.max_total + OTHER_FILES
    text = f"{allowed:,} open files allowed, {needed:,} needed for connections.max_total"
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        yield Finding("files", "ok", text)
    else:
        yield Finding(
            "files", "warn", text, f"ulimit -Hn {needed} (LimitNOFILE= with systemd), or lower max_total"
        )


def _clock(settings: Settings) -> Iterator[Finding]:
    if time.gmtime().tm_year < YEAR_OF_BIRTH:
        yield Finding(
            "clock", "fail", f"it is set to {time.ctime()}", "set it: tokens and timestamps depend on it"
        )
    elif not _is_synchronised():
        yield Finding("clock", "warn", "it is not synchronised", "run an NTP client, chrony say")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _is_synchronised() -> bool:
    """As the kernel sees it; where it does not tell, yes."""
    if sys.platform != "linux":
        return True
    timex = ctypes.create_string_buffer(256)  # struct timex; all zero only asks
    return int(ctypes.CDLL(None).adjtimex(timex)) != _TIME_ERROR
