"""uvicorn's server with an orderly end: it drains the application before it touches a connection."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI

from server.transport.http_protocol import HttpProtocol
from server.transport.websocket_protocol import WebSocketProtocol

_BACKLOG = 2048


def server_config(app: FastAPI, host: str, port: int, max_message_size: int) -> uvicorn.Config:
    """Our protocol classes, no access log (query strings hold tokens), no trust in proxies."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=partial(HttpProtocol, max_message_size=max_message_size),  # type: ignore[arg-type]
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
    """SIGTERM and Ctrl-C end it with exit code 0 once `drain` is done; a second one ends it at once.

    `on_started` is called with the address that is listened on.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]],
        on_started: Callable[[str, int], None],
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_started(host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        drain = asyncio.ensure_future(self._drain())
        while not drain.done() and not self.force_exit:
            await asyncio.wait({drain}, timeout=0.05)
        drain.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """By the loop's own handlers: the code behind `serve` runs, and the exit code is ours."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
