"""A TCP proxy that cuts, delays and holds back what passes.

It runs in a thread of its own, so that programs with and without an event loop use it alike. Each method
has taken effect when it returns.
"""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final, TypeVar

R = TypeVar("R")
_CHUNK: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)  # to linger for no time: what closes the socket resets the connection


class Way(Enum):
    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class Link:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = {Way.TO_CLIENT: client, Way.TO_SERVER: server}

    def cut(self) -> None:
        for writer in self.writers.values():
            if not writer.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class TcpProxy:
    """Forwards `port` to a port of 127.0.0.1. `tls`: what it speaks with clients; the other side is plain."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._gates = {way: asyncio.Event() for way in Way}
        self._delay = 0.0
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        self.accept()
        self.release()

    def stop(self) -> None:
        self.refuse()
        self.cut()
        self._await(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self.do(lambda: len(self._links))

    def cut(self) -> None:
        """End every connection with a reset on both sides; what was held back is lost."""
        self.do(self._cut)

    def refuse(self) -> None:
        """Refuse new connections, as where nobody listens; those that are open stay."""
        self._await(self._refuse())

    def accept(self) -> None:
        """Take new connections again, on the same port."""
        self._await(self._accept())

    def hold(self, *ways: Way) -> None:
        """Hold back what passes one way, or both, and read no more: the network goes silent."""
        self.do(lambda: self._close_gates(ways or tuple(Way)))

    def release(self) -> None:
        """Hand over what was held back, even where the sender has gone since."""
        self.do(self._open_gates)

    def delay(self, seconds: float) -> None:
        """Let everything pass later, each way."""
        self.do(lambda: setattr(self, "_delay", seconds))

    def _cut(self) -> None:
        for link in self._links:
            link.cut()

    def _close_gates(self, ways: tuple[Way, ...]) -> None:
        for way in ways:
            self._gates[way].clear()

    def _open_gates(self) -> None:
        for gate in self._gates.values():
            gate.set()

    async def _accept(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, ssl=self._tls, reuse_address=True
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._forward(reader, writer)
        except OSError:  # the server is down, and so is the client's connection
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        link = Link(writer, to_server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(reader, link, Way.TO_SERVER), self._pump(from_server, link, Way.TO_CLIENT)
            )
        finally:
            self._links.discard(link)
            link.cut()

    async def _pump(self, reader: asyncio.StreamReader, link: Link, way: Way) -> None:
        writer = link.writers[way]
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._gates[way].wait()
                if not await self._may_pass(data, link, way):
                    continue
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.close()

    async def _may_pass(self, data: bytes, link: Link, way: Way) -> bool:
        """Say whether to forward it; who says so later holds it back."""
        return True

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def do(self, change: Callable[[], R]) -> R:
        """Have the proxy's thread do it."""
        result: Future[R] = Future()
        self._loop.call_soon_threadsafe(_fulfil, result, change)
        return result.result(10)

    def _await(self, coroutine: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


def _fulfil(result: "Future[R]", change: Callable[[], R]) -> None:
    try:
        result.set_result(change())
    except Exception as fault:
        result.set_exception(fault)


@contextmanager
def tcp_proxy(target: int, tls: ssl.SSLContext | None = None) -> Iterator[TcpProxy]:
    """Run a proxy to a port of 127.0.0.1 until the end of the context."""
    proxy = TcpProxy(target, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
