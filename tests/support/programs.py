"""Programs of services that tests start themselves."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.cluster.programs import is_listening, package_folder
from loadtest.free_port import free_port

__all__ = ["free_port", "is_listening", "package_folder", "program_or_skip"]


def program_or_skip(find: Callable[[], Path | None], advice: str) -> Path:
    """Skip the test where the program is missing; fail it in CI, where it must be there."""
    program = find()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail(advice)
        pytest.skip(advice)
    return program
