"""What happens before a route is reached: a slash is dropped, the body bounded, writes refused in a drain."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.errors import ApiError, error_body
from server.core.model import SHUTTING_DOWN, Refused
from server.protocol import ErrorCode
from server.runtime.process.shutdown import Shutdown

MAX_BODY_BYTES: Final = 1 << 20
STREAM_PATH: Final = "/api/stream-ai-message"  # has bounds of its own
_LINGER_SECONDS: Final = 2.0  # for a client to notice that its body is refused
_TOO_LARGE: Final = Refused(ErrorCode.TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
_DRAIN_PATH: Final = "/api/drain"


class _BodyTooLarge(Exception):
    """Unwinds the application that was reading the body."""


class BodyLimit:
    """ASGI middleware: 413 for a body over 1 MiB, declared or not, before it is all in memory.

    That of a GET is never read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or scope["path"] == STREAM_PATH:
            await self._app(scope, receive, send)
        elif _declared_length(scope) > MAX_BODY_BYTES:
            await _refuse(receive, send)
        else:
            await self._watch(scope, receive, send)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, is_answered = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise _BodyTooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal is_answered
            if size <= MAX_BODY_BYTES:
                is_answered = True
                await send(message)

        with contextlib.suppress(_BodyTooLarge):  # answered below, like a fault that was made of it
            await self._app(scope, counted, noted)
        if size > MAX_BODY_BYTES and not is_answered:
            await _refuse(receive, send)


class TrailingSlash:
    """ASGI middleware: `/health/` is `/health`.

    The framework would redirect, and behind a proxy it does not know with which scheme and host.
    """

    def __init__(self, app: ASGIApp, kept: str) -> None:
        """Leaves paths below the folder `kept` as they are."""
        self._app = app
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.endswith("/") and not path.startswith(self._kept):
            scope = {**scope, "path": path[:-1] or "/"}
        await self._app(scope, receive, send)


def no_writes_while_draining(shutdown: Shutdown) -> Callable[[Request], Awaitable[None]]:
    """A dependency of the routes under /api."""

    async def check(request: Request) -> None:
        if shutdown.is_draining and request.method != "GET" and request.url.path != _DRAIN_PATH:
            raise ApiError(SHUTTING_DOWN)

    return check


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(receive: Receive, send: Send) -> None:
    """Answers, and closes only after that: bytes that were not read would destroy the answer."""
    body = json.dumps(error_body(_TOO_LARGE)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (await receive()).get("more_body"):
                """What the client still sends counts for nothing."""
    await send({"type": "http.response.body", "body": b""})
