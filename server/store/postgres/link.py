"""A connection to PostgreSQL that is made when it is wanted, and anew after it was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from server.ports import StoreUnavailable
from server.store.postgres.faults import ANY, is_undone

Connection = Any  # an asyncpg.Connection; its stubs want to know the class of its records
Dial = Callable[[], Awaitable["Session"]]

_CLOSE_SECONDS: Final = 2.0
_BEAT_SECONDS: Final = 2.0


class Backend(NamedTuple):
    """The server's process behind a connection. A pid alone may be used again."""

    pid: int
    started: datetime


class Session(NamedTuple):
    """An open connection."""

    connection: Connection
    backend: Backend


class Link:
    """Owns one connection. Used by one task at a time."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._session: Session | None = None

    @property
    def is_connected(self) -> bool:
        return self._session is not None and not self._session.connection.is_closed()

    async def session(self) -> Session:
        """Connects where it is not connected. Raises StoreUnavailable."""
        if self._session is None or self._session.connection.is_closed():
            self._session = None
            self._session = await self._dial()
        return self._session

    async def fetch(self, sql: str, *values: Any, seconds: float | None = None) -> list[asyncpg.Record]:
        """Runs one statement, in the connection's time or in so many seconds.

        Raises StoreUnavailable; whether it was done is then not known.
        """
        connection = (await self.session()).connection
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values, timeout=seconds)
            return rows
        except ANY as fault:
            self.drop_unless_undone(fault)
            raise StoreUnavailable(message_of(fault)) from fault
        except asyncio.CancelledError:  # what it asked for may still be running
            self.drop()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commits what is done within, or undoes all of it. Raises StoreUnavailable as `fetch` does."""
        connection = (await self.session()).connection
        try:
            async with connection.transaction():
                yield connection
        except ANY as fault:
            self.drop_unless_undone(fault)
            raise StoreUnavailable(message_of(fault)) from fault
        except asyncio.CancelledError:
            self.drop()
            raise

    async def beat(self) -> None:
        """Asks whether somebody is there; never raises. What was lost is made anew."""
        with suppress(StoreUnavailable):
            await self.fetch("SELECT 1", seconds=_BEAT_SECONDS)

    def drop_unless_undone(self, fault: BaseException) -> None:
        """Keeps the connection where the server merely refused a statement."""
        if not is_undone(fault):
            self.drop()

    def drop(self) -> Backend | None:
        """Gives the connection up without a word to the server, which may go on with what it was asked."""
        session, self._session = self._session, None
        if session is None:
            return None
        session.connection.terminate()
        return session.backend

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(*ANY):
                await session.connection.close(timeout=_CLOSE_SECONDS)


def message_of(fault: BaseException) -> str:
    """One line for people."""
    text = str(fault).partition("\n")[0]
    return text or "the database did not answer in time"
