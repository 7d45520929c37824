"""A few connections, each used by one task at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from server.ports import StoreUnavailable
from server.store.postgres.link import Dial, Link


class Links:
    """Lends its connections; whoever finds none free waits in line."""

    def __init__(self, dial: Dial, size: int) -> None:
        self.all = [Link(dial) for _ in range(size)]
        self._free: asyncio.Queue[Link] = asyncio.Queue()
        for link in self.all:
            self._free.put_nowait(link)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Link]:
        """Lends a connection for the time of the context."""
        link = await self._free.get()
        try:
            yield link
        finally:
            self._free.put_nowait(link)

    async def read(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs a statement that may be run twice: one that finds its connection lost tries a new one.

        Raises StoreUnavailable.
        """
        async with self.lent() as link:
            was_connected = link.is_connected
            try:
                return await link.fetch(sql, *values)
            except StoreUnavailable:
                if not was_connected or link.is_connected:
                    raise
                return await link.fetch(sql, *values)

    async def beat(self) -> None:
        """Asks behind each connection whether somebody is there; a lost one is made anew."""
        for _ in self.all:
            async with self.lent() as link:
                await link.beat()

    async def close(self) -> None:
        for link in self.all:
            await link.close()
