"""Programs of services that tests start themselves: from the machine, else from a wheel."""

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest


def package_folder(name: str) -> Path | None:
    """Find where a package lies, without importing it; None where it is not installed."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def program_or_skip(find: Callable[[], Path | None], advice: str) -> Path:
    """Skip the test where the program is missing; fail it in CI, where it must be there."""
    program = find()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(advice)
        pytest.skip(advice)
    return program


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
