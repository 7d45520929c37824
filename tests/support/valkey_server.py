"""A real Valkey, or Redis, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.cluster.programs import NO_VALKEY as ADVICE
from loadtest.cluster.programs import find_valkey as find_program
from loadtest.cluster.valkey import Valkey as ValkeyServer

__all__ = ["ADVICE", "ValkeyServer", "find_program", "valkey_server"]


@contextmanager
def valkey_server(program: Path, *options: str) -> Iterator[ValkeyServer]:
    """Run a server until the end of the context, with further options of its command line."""
    server = ValkeyServer(program, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
