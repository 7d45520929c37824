"""Our protocol classes with the smallest application behind them: it says what it hears."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from server.core.websocket_frames import text_frame
from server.ports import Socket
from server.transport.limits import Limits
from server.transport.socket import accept
from server.transport.uvicorn_server import Server, server_config

GRACE: Final = 5.0  # seconds


class Echo:
    """One connection's user. Implements SocketUser."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.closed_with: list[int] = []

    def on_text(self, payload: bytes) -> None:
        self.socket.write(text_frame(payload))

    def on_binary(self, payload: bytes) -> None:
        as_text = text_frame(payload)
        self.socket.write(b"\x82" + as_text[1:])

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str = "") -> None:
        self.closed_with.append(code)


class EchoServer:
    """`users` are those of all connections so far; they are attached while `may_attach` is set."""

    def __init__(self) -> None:
        self.users: list[Echo] = []
        self.given_up = 0  # endpoints whose peer was gone before they attached
        self.may_attach = asyncio.Event()
        self.may_attach.set()
        self.port = 0
        self.routes = [
            WebSocketRoute("/echo", self._echo),
            WebSocketRoute("/broken", self._break),
            Route("/body", self._measure, methods=["GET", "POST"]),
        ]

    async def _echo(self, websocket: WebSocket) -> None:
        socket = await accept(websocket.scope, websocket.receive, websocket.send)
        user = Echo(socket)
        self.users.append(user)
        try:
            await self.may_attach.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        await socket.attach(user)

    async def _break(self, websocket: WebSocket) -> None:
        raise RuntimeError("broken on purpose")

    async def _measure(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))


@asynccontextmanager
async def echo_server(limits: Limits) -> AsyncIterator[EchoServer]:
    """In the running loop, on a free port."""
    echo = EchoServer()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def nothing_to_drain() -> None: ...

    app = Starlette(routes=echo.routes)
    config = server_config(app, app, "127.0.0.1", 0, limits)
    server = Server(config, nothing_to_drain, GRACE, lambda host, port: started.set_result(port))
    serving = asyncio.create_task(server.serve())
    try:
        echo.port = await started
        yield echo
    finally:
        server.should_exit = True
        await serving
