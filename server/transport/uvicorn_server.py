"""uvicorn's server with an orderly end: it drains the application before it touches a connection."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from server.transport.binding import bind
from server.transport.first_protocol import FirstProtocol
from server.transport.limits import Limits
from server.transport.websocket_protocol import WebSocketProtocol

_BACKLOG: Final = 2048
_POLL_SECONDS: Final = 0.05
_FORCED: Final = 130  # exit code of a program that Ctrl-C ended
_RESERVE_SECONDS: Final = 0.3  # of the grace, for the store to close
_ENDING_SECONDS: Final = 0.2  # of the grace, until the loop looks for the signal, and for the process to end


def server_config(app: ASGIApp, websockets: ASGIApp, host: str, port: int, limits: Limits) -> uvicorn.Config:
    """Choose our protocol classes, no access log (query strings hold tokens), no trust in proxies.

    `websockets` is the application that is asked for WebSockets; `app` answers all else.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=partial(FirstProtocol, websockets=websockets, limits=limits),  # type: ignore[arg-type]
        ws=WebSocketProtocol,
        lifespan="off",
        backlog=_BACKLOG,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        ws_per_message_deflate=False,
    )


class Server(uvicorn.Server):
    """Ends at SIGTERM, SIGQUIT, Ctrl-C and SIGHUP with exit code 0 once `drain` is done.

    A second SIGTERM, SIGQUIT or Ctrl-C ends it at once; whatever is committed is safe then, as it is when the
    process is killed. A SIGHUP comes when its terminal is closed, often twice, and is ignored under nohup.
    SIGUSR1 and SIGUSR2 do nothing.

    `grace`: seconds from the signal to the end. `shares_port`: with other processes that share it.
    `on_started` gets the address that is listened on;
    `serve` raises OSError where it cannot be.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        grace: float,
        on_started: Callable[[str, int], None],
        *,
        shares_port: bool = False,
    ) -> None:
        super().__init__(config)
        self._shares_port = shares_port
        self._drain = drain
        self._grace = grace
        self._on_started = on_started
        self._is_told_to_end = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        listener = bind(self.config.host, self.config.port, shared=self._shares_port)
        await super().startup([listener])
        host, port = listener.getsockname()[:2]
        self._on_started(host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuses new connections, drains the application, then waits for the open ones to end."""
        left = max(self._grace / 2, self._grace - _ENDING_SECONDS)
        end = time.monotonic() + left
        # Even if the database hangs, which neither a timeout nor a cancellation can interrupt.
        asyncio.get_running_loop().call_later(left, os._exit, 0)
        for server in self.servers:
            server.close()
        drain = asyncio.ensure_future(self._drain())
        while not drain.done() and time.monotonic() < end - _RESERVE_SECONDS:
            await asyncio.wait({drain}, timeout=_POLL_SECONDS)
        drain.cancel()
        while self.server_state.connections and time.monotonic() < end - _RESERVE_SECONDS:
            for connection in list(self.server_state.connections):
                connection.shutdown()  # HTTP connections that are idle, or are by now
            await asyncio.sleep(_POLL_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """By the loop's own handlers: the code behind `serve` runs, and the exit code is ours."""
        loop = asyncio.get_running_loop()
        handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGQUIT), self._end)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handlers[signal.SIGHUP] = self.hang_up
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self._is_told_to_end:
            os._exit(_FORCED)
        self._is_told_to_end = self.should_exit = True

    def hang_up(self) -> None:
        """Begin the orderly end; asked again, go on with it."""
        self.should_exit = True
