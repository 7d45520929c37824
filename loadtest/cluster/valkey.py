"""A Valkey, or Redis, on a free port; it keeps nothing on disk."""

import socket
import subprocess
from pathlib import Path
from typing import Final

from loadtest.cluster.programs import ServiceFailed, is_listening, wait_until
from loadtest.free_port import free_port

_START_SECONDS: Final = 10


class Valkey:
    """May be killed and started again; it then has forgotten everything. `options`: of its command line."""

    def __init__(self, program: Path, *options: str) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        self._command = [str(program), "--bind", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--save", "", "--appendonly", "no", *options]

    def start(self) -> None:
        """Return once it takes connections. Raises ServiceFailed."""
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a Ctrl-C is for whoever started it
        )
        wait_until(self._is_up, _START_SECONDS, "Valkey did not start in time")

    def stop(self) -> None:
        """Kill it: it has nothing to save."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def flush(self) -> None:
        """Let it forget everything, its subscriptions excepted."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)

    def url(self, port: int | None = None) -> str:
        """`port`: that of a proxy before it."""
        return f"redis://127.0.0.1:{port or self.port}"

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise ServiceFailed("Valkey did not start")
        return is_listening(self.port)
