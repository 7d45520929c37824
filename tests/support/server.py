"""A real `chatctl serve` process for tests."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

START_SECONDS = 20
_COMMAND = [sys.executable, "-m", "chatctl", "serve"]


class RunningServer:
    """Started in a folder of its own, by default on a free port; `settings` are `section.key` to value."""

    def __init__(self, folder: Path, settings: dict[str, object], command: list[str] = _COMMAND) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._errors: list[str] = []
        self._threads: list[threading.Thread] = []
        self._read_in_background(self._keep_errors)
        self.port = self._read_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.websocket = f"ws://127.0.0.1:{self.port}"

    @staticmethod
    def attempt(folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
        """A start that is expected to fail."""
        environment = _environment({key.replace("__", "."): value for key, value in settings.items()})
        return subprocess.run(
            _COMMAND,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    @property
    def errors(self) -> str:
        """What it wrote on stderr so far."""
        return "".join(self._errors)

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path)

    def post(self, path: str, body: object) -> httpx2.Response:
        return httpx2.post(self.url + path, json=body)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        code = self.process.wait(20)
        self._close_pipes()
        return code

    def _read_port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"ws://[^/]*:(\d+)/", line):
                self._read_in_background(self.process.stdout.read)
                return int(found[1])
        self.process.wait(START_SECONDS)
        time.sleep(0.1)
        raise AssertionError(f"the server did not start: {self.errors}")

    def _keep_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)

    def _close_pipes(self) -> None:
        for thread in self._threads:
            thread.join(5)
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def _read_in_background(self, read: Callable[[], object]) -> None:
        self._threads.append(threading.Thread(target=read, daemon=True))
        self._threads[-1].start()


def _environment(settings: dict[str, object]) -> dict[str, str]:
    on_free_port = {"server.port": 0} | settings
    variables = {f"CHAT_{key.upper().replace('.', '__')}": str(value) for key, value in on_free_port.items()}
    return {k: v for k, v in os.environ.items() if not k.startswith("CHAT_")} | variables


@contextmanager
def running_server(
    folder: Path, command: list[str] = _COMMAND, /, **settings: object
) -> Iterator[RunningServer]:
    """`settings` are written `store__timeout=1.0`."""
    by_key = {key.replace("__", "."): value for key, value in settings.items()}
    server = RunningServer(folder, by_key, command)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
