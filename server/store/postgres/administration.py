"""What an operator asks of a PostgreSQL database, whether or not servers work on it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Final, NamedTuple

from server.ports import StoreUnavailable
from server.store.postgres import schema
from server.store.postgres.dialer import connect
from server.store.postgres.faults import ANY
from server.store.postgres.link import Connection, message_of

_CLOSE_SECONDS: Final = 2.0
_COMMITS: Final = 9
_COMMIT: Final = "SELECT pg_logical_emit_message(true, 'chatctl', 'doctor')"  # a record that nobody reads
# Off, they lose commits at a crash: the first of the server, the others of its machine.
_LOSING_SETTINGS: Final = ("synchronous_commit", "fsync", "full_page_writes")
_SETTINGS: Final = """
SELECT name, setting FROM pg_settings WHERE name = 'server_version' OR name = ANY($1::text[])"""
_FREE_CONNECTIONS: Final = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int"""


class Examination(NamedTuple):
    """What `examine` found. `losing`: settings of the server by which an ACKed message may be lost."""

    server: str
    schema_version: int
    commit_ms: float
    losing: list[str]
    free_connections: int


async def read_version(url: str) -> int:
    """Reads the schema's version; 0 for an empty database. Raises StoreUnavailable."""
    async with connection_to(url) as connection:
        return await schema.version_of(connection)


async def upgrade(url: str) -> None:
    """Brings the schema up to date, while servers wait. Raises StoreUnavailable, SchemaTooNew."""
    async with connection_to(url) as connection:
        schema.check(await schema.upgrade(connection))


async def examine(url: str) -> Examination:
    """Looks at what decides how well the store works there. Raises StoreUnavailable."""
    async with connection_to(url) as connection:
        settings = dict(await connection.fetch(_SETTINGS, list(_LOSING_SETTINGS)))
        return Examination(
            server=str(settings.pop("server_version")),
            schema_version=await schema.version_of(connection),
            commit_ms=await _commit_ms(connection),
            losing=[name for name in _LOSING_SETTINGS if settings[name] == "off"],
            free_connections=await connection.fetchval(_FREE_CONNECTIONS),
        )


async def _commit_ms(connection: Connection) -> float:
    """Measures a commit of a small record, with the way there and back."""
    taken = []
    for _ in range(_COMMITS):
        started = time.perf_counter()
        await connection.fetch(_COMMIT)
        taken.append((time.perf_counter() - started) * 1000)
    return median(taken)


@asynccontextmanager
async def connection_to(url: str) -> AsyncIterator[Connection]:
    """Connects without deadlines for statements. What the database refuses within is StoreUnavailable."""
    connection = await connect(url)
    try:
        yield connection
    except ANY as fault:
        raise StoreUnavailable(message_of(fault)) from fault
    finally:
        with suppress(*ANY):
            await connection.close(timeout=_CLOSE_SECONDS)
