from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import postgres_server, valkey_server
from tests.support.device import Connect, connector
from tests.support.postgres_server import PostgresServer
from tests.support.programs import program_or_skip
from tests.support.server import RunningServer, running_server
from tests.support.valkey_server import ValkeyServer

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that lives as long as the run of the tests. Whoever stops it starts it again."""
    programs = program_or_skip(postgres_server.find_programs, postgres_server.ADVICE)
    with postgres_server.postgres_server(programs) as it:
        yield it


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty database."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[ValkeyServer]:
    program = program_or_skip(valkey_server.find_program, valkey_server.ADVICE)
    with valkey_server.valkey_server(program) as it:
        yield it


@pytest.fixture
def valkey(valkey_process: ValkeyServer) -> ValkeyServer:
    """An empty Valkey. Whoever stops it starts it again."""
    valkey_process.flush()
    return valkey_process
