"""Has one node at a time do a thing: by leases that end with the node that has them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from server.ports import BackplaneUnavailable, Registry
from server.runtime.base.background import Background

_BOUND: Final = 1.0  # seconds for which the backplane may take to answer
_RENEWALS: Final = 3  # within the time of a lease


class Leases:
    """Saves work, and nothing rests on it: while the backplane is away each node goes on by itself.

    `holder`: this node's id. `seconds`: after which a lease that is not renewed is free.
    """

    def __init__(self, registry: Registry, holder: str, seconds: float, background: Background) -> None:
        self._registry = registry
        self._holder = holder
        self._seconds = seconds
        self._background = background

    async def take(self, name: str) -> bool:
        """Take a lease that is free, or renew one's own; False where another node has it."""
        try:
            async with asyncio.timeout(_BOUND):
                return await self._registry.take(name, self._holder, self._seconds)
        except (BackplaneUnavailable, TimeoutError):
            return True

    @asynccontextmanager
    async def kept(self, name: str, on_lost: Callable[[], None] = lambda: None) -> AsyncIterator[bool]:
        """Keep a lease within the context: whether it is this node's. `on_lost`: another one has it now."""
        if not await self.take(name):
            yield False
            return
        renewing = self._background.run(self._renew(name, on_lost), "renew-lease")
        try:
            yield True
        finally:
            renewing.cancel()
            self._registry.release(name, self._holder)

    async def _renew(self, name: str, on_lost: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._seconds / _RENEWALS)
            if not await self.take(name):
                on_lost()
                return
