"""Which channels this node hears. They outlive the connection: each new one subscribes them again."""

import asyncio
from collections.abc import Callable

from server.backplane.redis.link import PubSubLink
from server.ports import BackplaneUnavailable


class Subscriptions:
    """Owns the wanted channels. `prefix` parts deployments that share a service."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[bytes, str] = {}  # as the service says them -> as we do
        self._link: PubSubLink | None = None
        self._pending: dict[str, asyncio.Future[object]] = {}  # not confirmed yet
        self.received: Callable[[str, bytes], None] = lambda channel, payload: None

    async def attach(self, link: PubSubLink) -> None:
        """Subscribe all wanted channels there, and wait until they are. Raises BackplaneUnavailable."""
        self._link = link
        for name in self._names:
            link.tell("SUBSCRIBE", name)
        await link.ask("PING")

    def detach(self) -> None:
        self._link = None
        self._pending.clear()

    async def subscribe(self, channel: str) -> None:
        """Raises BackplaneUnavailable; the channel is wanted all the same."""
        name = self._name(channel)
        is_new = name not in self._names
        self._names[name] = channel
        if self._link is None:
            raise BackplaneUnavailable("not connected")
        if is_new:
            self._ask(self._link, channel, name)
        elif channel not in self._pending:
            return
        # Shielded: whoever gives up waiting leaves it to the others who wait for the same channel.
        await asyncio.shield(self._pending[channel])

    def unsubscribe(self, channel: str) -> None:
        name = self._name(channel)
        if self._names.pop(name, None) is None:
            return
        self._pending.pop(channel, None)
        if self._link is not None:
            self._link.tell("UNSUBSCRIBE", name)

    def hear(self, name: bytes, payload: bytes) -> None:
        """Pass a message on, unless nobody wants its channel any more."""
        if (channel := self._names.get(name)) is not None:
            self.received(channel, payload)

    def _name(self, channel: str) -> bytes:
        return f"{self._prefix}{channel}".encode()

    def _ask(self, link: PubSubLink, channel: str, name: bytes) -> None:
        asked = self._pending[channel] = link.ask("SUBSCRIBE", name)

        def over(future: asyncio.Future[object]) -> None:
            if self._pending.get(channel) is future:
                del self._pending[channel]
            future.exception()  # nobody may wait for it any more

        asked.add_done_callback(over)
