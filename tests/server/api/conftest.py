from collections.abc import Iterator

import pytest

from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for a module; each test has users and conversations of its own."""
    with running_server(tmp_path_factory.mktemp("api")) as it:
        yield it
