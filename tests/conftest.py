from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.device import Connect, connector
from tests.support.server import RunningServer, running_server

# A slow machine is no fault: what Hypothesis measures in seconds is not judged.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server with default settings on an empty SQLite file."""
    with running_server(tmp_path) as it:
        yield it


@pytest.fixture
def connect_device() -> Iterator[Connect]:
    with ExitStack() as stack:
        yield connector(stack)
