"""A connection to the service: commands are pipelined, all of one turn of the loop leave in one write.

redis-py's connections are read by a task each and time every command; these are read where the bytes
arrive, since all messages between nodes pass here.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from server.backplane.redis.address import Address
from server.ports import BackplaneUnavailable

Convert = Callable[[Any], Any]
_Waiter = tuple[asyncio.Future[Any], Convert | None]
_Command = tuple[str | bytes | int, ...]
# Its stub knows commands of a single word only.
_pack: Final = cast(Callable[[_Command], bytes], hiredis.pack_command)

_PING_SECONDS: Final = 1.0  # between looks at the other side's silence
SILENCE_SECONDS: Final = 3.0  # after which a connection counts as lost
# What may wait to be sent: the service reads at once, or has stopped.
_MAX_UNSENT: Final = 32 * 1024 * 1024
# The service is no primary, is starting, or has forgotten our scripts: to connect anew helps.
_USELESS: Final = ("READONLY", "LOADING", "MASTERDOWN", "NOSCRIPT")


class Link(asyncio.Protocol):
    """Is lost once, and then stays so: whoever waits for a reply gets BackplaneUnavailable."""

    def __init__(self, lost: Callable[[str], None], refused: Callable[[str], None]) -> None:
        """`lost` is called with the reason; `refused` where a command fails that nobody waits for."""
        self._lost = lost
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._waiting: deque[_Waiter | None] = deque()
        self._heard_at = self._ticked_at = time.monotonic()
        self._timer = self._loop.call_later(_PING_SECONDS, self._tick)
        self.is_lost = False

    async def connect(self, address: Address) -> None:
        """Connect, log in and choose the database. Raises BackplaneUnavailable, OSError."""
        name = address.host if address.tls else None
        await self._loop.create_connection(
            lambda: self, address.host, address.port, ssl=address.tls, server_hostname=name
        )
        await asyncio.gather(*(self.ask(*command) for command in address.greeting()))

    def tell(self, *command: str | bytes | int) -> None:
        """Queue a command whose reply nobody needs."""
        if not self.is_lost:
            self._queue(command, None)

    def ask(self, *command: str | bytes | int, convert: Convert | None = None) -> "asyncio.Future[Any]":
        """Queue a command; the future has its converted reply, or BackplaneUnavailable."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost:
            future.set_exception(BackplaneUnavailable("the connection is lost"))
        else:
            self._queue(command, (future, convert))
        return future

    def fail(self, reason: str) -> None:
        """Give the connection up at once, and tell all who wait."""
        if not self.is_lost:
            self._end(reason)
            if self._transport is not None:
                self._transport.abort()
            self._lost(reason)

    def close(self) -> None:
        """End it; `lost` is not called."""
        self._end("the connection was closed")
        if self._transport is not None:
            self._transport.close()

    # ---- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_MAX_UNSENT)
        if self.is_lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._reader.feed(data)
        try:
            while not self.is_lost and (reply := self._reader.gets()) is not False:
                self._heard(reply)
        except hiredis.ProtocolError as fault:
            self.fail(f"no Redis: {fault}")

    def pause_writing(self) -> None:
        self.fail("it does not read what is sent to it")

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(str(exc) if exc else "it closed the connection")

    # ---- what passes ------------------------------------------------------------------------------

    def _queue(self, command: _Command, waiter: _Waiter | None) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(_pack(command))
        self._waiting.append(waiter)

    def _flush(self) -> None:
        if self._transport is not None and not self.is_lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _heard(self, reply: Any) -> None:
        if not self._waiting:
            self.fail(f"it said what was not asked: {reply!r}")
            return
        waiter = self._waiting.popleft()
        if isinstance(reply, hiredis.ReplyError):
            self._hear_error(str(reply), waiter)
        elif waiter is not None and not waiter[0].done():
            future, convert = waiter
            future.set_result(reply if convert is None else convert(reply))

    def _hear_error(self, text: str, waiter: _Waiter | None) -> None:
        if waiter is None:
            self._refused(text)
        elif not waiter[0].done():
            waiter[0].set_exception(BackplaneUnavailable(text))
        if text.startswith(_USELESS):
            self.fail(text)

    def _tick(self) -> None:
        """Only time in which this process ran counts as the other side's silence."""
        now = time.monotonic()
        if now - self._ticked_at > 2 * _PING_SECONDS:
            self._heard_at = now
        self._ticked_at = now
        if now - self._heard_at >= SILENCE_SECONDS:
            self.fail(f"no answer within {SILENCE_SECONDS:g} s")
            return
        self._timer = self._loop.call_later(_PING_SECONDS, self._tick)
        if now - self._heard_at >= _PING_SECONDS / 2:
            self.tell("PING")

    def _end(self, reason: str) -> None:
        self.is_lost = True
        self._timer.cancel()
        for waiter in self._waiting:
            if waiter is not None and not waiter[0].done():
                waiter[0].set_exception(BackplaneUnavailable(reason))
        self._waiting.clear()


class PubSubLink(Link):
    """Hears what is published too; the replies to SUBSCRIBE, UNSUBSCRIBE and PING come in their order."""

    def __init__(
        self,
        lost: Callable[[str], None],
        refused: Callable[[str], None],
        heard: Callable[[bytes, bytes], None],
    ) -> None:
        """`heard` is called with each message's channel and payload."""
        super().__init__(lost, refused)
        self._heard_message = heard

    def _heard(self, reply: Any) -> None:
        if type(reply) is list and reply[0] == b"message":
            self._heard_message(reply[1], reply[2])
        else:
            super()._heard(reply)
