"""A real WebSocket server on a free port that does, connection by connection, what a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


class Visit:
    """One connection, from the server's side."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.socket = socket
        self.headers = socket.request.headers
        self.query = {key: value for key, (value,) in parse_qs(urlsplit(socket.request.path).query).items()}

    async def say(self, *frames: str) -> None:
        for each in frames:
            await self.socket.send(each)

    async def hear(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        return frame

    async def wait_until_closed(self) -> None:
        """Reads on; what comes is of no interest."""
        async for _ in self.socket:
            pass


Script = Callable[[Visit], Awaitable[None]]


class ScriptedServer:
    """The nth connection runs the nth script, further ones the last; each is closed (1000) at its end.

    `refusals` are the HTTP statuses for the first handshakes. `history` answers the REST history:
    a coroutine function from the query to a status and a body.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.visits: list[Visit] = []
        self.refusals: list[int] = []
        self.history: Callable[[dict[str, str]], Awaitable[tuple[int, Any]]] = _no_history
        self.history_queries: list[dict[str, str]] = []
        self.history_asked = asyncio.Event()
        self.url = ""

    async def handle(self, socket: ServerConnection) -> None:
        visit = Visit(socket)
        script = self.scripts[min(len(self.visits), len(self.scripts) - 1)]
        self.visits.append(visit)
        with suppress(ConnectionClosed):
            await script(visit)

    async def answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path.startswith("/ws/"):
            return connection.respond(HTTPStatus(self.refusals.pop(0)), "") if self.refusals else None
        query = {key: value for key, (value,) in parse_qs(parts.query).items()}
        self.history_queries.append(query)
        self.history_asked.set()
        status, body = await self.history(query)
        return connection.respond(HTTPStatus(status), json.dumps(body))


async def _no_history(query: dict[str, str]) -> tuple[int, Any]:
    return 404, {}


@asynccontextmanager
async def scripted_server(*scripts: Script) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(*scripts)
    async with serve(server.handle, "127.0.0.1", 0, process_request=server.answer_http) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server
