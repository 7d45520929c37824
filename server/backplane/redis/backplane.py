"""The backplane on Redis or Valkey: two connections that live and die together, and their return."""

import asyncio
import random
from contextlib import suppress
from typing import Final

import structlog

from server.backplane.redis import scripts
from server.backplane.redis.address import Address, parse_address
from server.backplane.redis.link import Link, PubSubLink
from server.backplane.redis.registry import RedisRegistry
from server.backplane.redis.subscriptions import Subscriptions
from server.ports import BackplaneListener, BackplaneUnavailable

log = structlog.get_logger()

_CONNECT_SECONDS: Final = 5.0  # for both connections, all channels included
_PAUSES: Final = (0.1, 2.0)  # seconds between tries to connect: the first, the longest
_CLOSE_SECONDS: Final = 1.0  # for what is queued at the end


class RedisBackplane(RedisRegistry):
    """Messages and registry commands share one connection, what is received has the other.

    A message may be lost with either: so both are given up when one is, and `came_back` means what it
    says.
    """

    backend: Final = "redis"

    def __init__(self, url: str) -> None:
        """Raises BackplaneUnavailable where the URL cannot be used."""
        super().__init__()
        self._address: Address = parse_address(url)
        # Databases part keys, but not channels.
        self._prefix = f"chatctl:{self._address.db}:"
        self._subscriptions = Subscriptions(self._prefix)
        self._listener: BackplaneListener | None = None
        self._links: tuple[Link, ...] = ()
        self._lost = asyncio.Event()
        self._told = ""  # why it cannot be reached: said once, not at every try
        self._upkeep: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        return self._commands is not None

    async def open(self, listener: BackplaneListener) -> None:
        self._listener = listener
        self._subscriptions.received = listener.received
        is_there = await self._try_to_connect()
        self._upkeep = asyncio.create_task(self._keep_connected(is_there), name="backplane")

    async def close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.wait([self._upkeep])
        if self._commands is not None:
            with suppress(BackplaneUnavailable, TimeoutError):
                await asyncio.wait_for(self._commands.ask("PING"), _CLOSE_SECONDS)
        self._disconnect()

    async def subscribe(self, channel: str) -> None:
        await self._subscriptions.subscribe(channel)

    def unsubscribe(self, channel: str) -> None:
        self._subscriptions.unsubscribe(channel)

    def publish(self, channel: str, payload: bytes) -> bool:
        if self._commands is None:
            return False
        self._commands.tell("PUBLISH", self._prefix + channel, payload)
        return True

    # ---- the connections --------------------------------------------------------------------------

    async def _keep_connected(self, is_there: bool) -> None:
        pause, longest = _PAUSES
        while True:
            if is_there:
                pause = _PAUSES[0]
                await self._lost.wait()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)
            is_there = await self._try_to_connect()

    async def _try_to_connect(self) -> bool:
        self._lost.clear()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                commands = await self._connect()
        except (OSError, BackplaneUnavailable, TimeoutError) as fault:
            self._disconnect()
            self._say_why(str(fault) or "no answer")
            return False
        except asyncio.CancelledError:
            self._disconnect()
            raise
        self._commands = commands
        self._told = ""
        log.info("the backplane is there")
        assert self._listener is not None
        self._listener.came_back()
        return True

    def _say_why(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            log.warning("the backplane cannot be reached", reason=reason)

    async def _connect(self) -> Link:
        commands = Link(self._lost_one, self._refused)
        hearing = PubSubLink(self._lost_one, self._refused, self._subscriptions.hear)
        self._links = (commands, hearing)
        await asyncio.gather(commands.connect(self._address), hearing.connect(self._address))
        loaded = [commands.ask("SCRIPT", "LOAD", script.text) for script in scripts.ALL]
        await asyncio.gather(*loaded, self._subscriptions.attach(hearing))
        return commands

    def _lost_one(self, reason: str) -> None:
        was_there = self._commands is not None
        self._disconnect()
        self._lost.set()
        if was_there:
            log.warning("the backplane is lost", reason=reason)
            assert self._listener is not None
            self._listener.went_away()

    def _disconnect(self) -> None:
        self._commands = None
        self._subscriptions.detach()
        links, self._links = self._links, ()
        for link in links:
            link.close()

    def _refused(self, text: str) -> None:
        log.error("the backplane refused a command", reason=text)
