"""A server from PyPI in an environment of its own, so that its packages and ours never meet."""

import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

_START_SECONDS = 30


def install(cache: Path, *requirements: str) -> Path:
    """The folder with those packages' programs, made once in `cache`. Skips the test where pip cannot."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of one run want the same
        programs = cache / "venv" / "bin"
        marker = cache / "installed"
        if not marker.exists():
            try:
                subprocess.run(
                    [sys.executable, "-m", "venv", "--clear", cache / "venv"], check=True, capture_output=True
                )
                command: list[str | Path] = [programs / "python", "-m", "pip", "install", "-q", *requirements]
                subprocess.run(command, check=True, capture_output=True, timeout=300)
            except (subprocess.SubprocessError, OSError) as fault:
                pytest.skip(f"{requirements} cannot be installed: {type(fault).__name__}")
            marker.touch()
        return programs


@contextmanager
def serving(command: list[str | Path], folder: Path) -> Iterator[str]:
    """Runs the command with `--port` and a free port behind it; yields where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program has ended"
        try:
            httpx2.get(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the program does not listen")
