"""What an operator asks of a PostgreSQL database, whether or not servers work on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from server.ports import StoreUnavailable
from server.store.postgres import schema
from server.store.postgres.dialer import connect
from server.store.postgres.faults import ANY
from server.store.postgres.link import Connection, message_of

_CLOSE_SECONDS: Final = 2.0


async def read_version(url: str) -> int:
    """Reads the schema's version; 0 for an empty database. Raises StoreUnavailable."""
    async with connection_to(url) as connection:
        return await schema.version_of(connection)


async def upgrade(url: str) -> None:
    """Brings the schema up to date, while servers wait. Raises StoreUnavailable, SchemaTooNew."""
    async with connection_to(url) as connection:
        schema.check(await schema.upgrade(connection))


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
