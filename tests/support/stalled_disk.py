"""A disk that stalls under a running process: strace holds up its system calls."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def stalled_syncs(pid: int, seconds: float, when: str = "1") -> Iterator[None]:
    """Hold up a process's syncs, each for so long: the first one, or what `when` says.

    `when`: as in strace(1), `1+50` for every 50th.

    Skips the test where processes cannot be traced.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    delay = f"inject=fdatasync,fsync:delay_enter={round(seconds * 1e6)}:when={when}"
    command = ["strace", "-f", "-p", str(pid), "-e", "trace=fdatasync,fsync", "-e", delay, "-o", "/dev/null"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_until_attached(tracer)
        yield
    finally:
        tracer.kill()  # a polite end would wait for those whom it holds up
        tracer.communicate()


def _wait_until_attached(tracer: "subprocess.Popen[str]") -> None:
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "attached" not in line:
        pytest.skip(f"processes cannot be traced here: {line.strip()}")
    time.sleep(0.3)  # strace names the process first and its other threads after
