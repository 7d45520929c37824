from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.device import Connect, connector
from tests.support.server import RunningServer, running_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server with default settings on an empty SQLite file."""
    with running_server(tmp_path) as it:
        yield it


@pytest.fixture
def connect_device() -> Iterator[Connect]:
    with ExitStack() as stack:
        yield connector(stack)
