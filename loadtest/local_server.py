"""A server of the load test's own: limits wide, files in a folder that is thrown away."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from chatctl.client.network import http_options
from loadtest.free_port import free_port

_START_TIMEOUT: Final = 30.0
_STOP_TIMEOUT: Final = 20.0

WIDE_LIMITS: Final[Mapping[str, str]] = {
    "CHAT_RATE_LIMIT__ENABLED": "false",
    "CHAT_CONNECTIONS__MAX_TOTAL": "100000",
    "CHAT_CONNECTIONS__MAX_PER_IP": "100000",
    "CHAT_CONNECTIONS__MAX_PER_USER": "1000",
    "CHAT_LOG__LEVEL": "warning",
}
"""The settings of such a server, as environment variables."""


class ServerFailed(Exception):
    """It did not start; the message is its own last line."""


class LocalServer:
    """Its files are in `folder`; it may be ended and started again on the same port and database."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "server.log"
        self._environment = {**_own_environment(), **WIDE_LIMITS, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chatctl", "serve", "--host", "127.0.0.1", "--port", str(self._port)],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C ends the load first
            )
        self._wait_until_ready(self._process)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits; the exit code, or minus the signal that ended it."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            if is_alive(self.url):
                return
            time.sleep(0.05)
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise ServerFailed(f"the server did not start: {lines[-1] if lines else 'it said nothing'}")


@contextmanager
def local_server(settings: Mapping[str, str]) -> Iterator[LocalServer]:
    """Starts a server with these settings over WIDE_LIMITS, and stops it in the end.

    The folder with its database is in TMPDIR (a disk, if the figures are to mean anything).

    Raises:
        ServerFailed: It ended, or did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="chatctl-loadtest-") as folder:
        server = LocalServer(Path(folder), settings)
        try:
            server.start()
            yield server
        finally:
            server.end()


def _own_environment() -> dict[str, str]:
    """Without the settings of whatever server runs beside."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}


def is_alive(url: str) -> bool:
    """Whether a chat server answers there."""
    try:
        with httpx2.Client(timeout=5.0, **http_options(url, proxy=None)) as client:
            return client.get("/health/live").is_success
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
