"""uvicorn's HTTP class with the guards it lacks, and the door to our WebSocket class."""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from server.transport.websocket_protocol import WebSocketProtocol

MAX_HEADERS: Final = 100
MAX_HEAD_BYTES: Final = 16384  # request line and headers
HEAD_SECONDS: Final = 10.0  # from a request's first byte, or the connection, to the end of its headers


class _HeadTooLarge(Exception):
    """Raised within a callback of the parser, which wraps it."""


class HttpProtocol(HttpToolsProtocol):
    """`max_message_size`: bytes in a WebSocket message."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        max_message_size: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_message_size = max_message_size
        self._is_in_head = True
        self._fed_bytes = 0  # since the head began: the parser keeps an unfinished header to itself
        self._feeding = 0  # bytes that the parser is being given
        self._head_bytes = 0  # of its finished headers
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._is_in_head and self._head_timer is None:
            self._await_head()
        self._feeding = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as fault:
            if not isinstance(fault.__context__, _HeadTooLarge):
                raise
            self._refuse(431, "The request's headers are too large.")
        except httptools.HttpParserError:
            self._refuse(400, "Invalid HTTP request received.")
        else:
            self._check_unfinished_head(len(data))

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_head(len(name) + len(value))
        if len(self.headers) > MAX_HEADERS:
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head = True
        self._fed_bytes = -self._feeding  # what ended a body is no part of the next head
        self._head_bytes = 0

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(408, "The request's headers did not come in time.")

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _HeadTooLarge

    def _check_unfinished_head(self, size: int) -> None:
        if self._is_in_head:
            self._fed_bytes += size
            if self._fed_bytes > 2 * MAX_HEAD_BYTES:
                self._refuse(431, "The request's headers are too large.")

    def _refuse(self, status: int, text: str) -> None:
        if self.transport.is_closing():
            return
        body = text.encode()
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()

    def _take_upgrade(self, rest: bytes) -> None:
        if not self._should_upgrade():
            self._refuse(400, "Only an upgrade to websocket is supported.")
            return
        self.connections.discard(self)
        protocol = WebSocketProtocol(self.transport, self.loop, self._max_message_size)
        self.transport.set_protocol(protocol)
        self.parser = None  # type: ignore[assignment]  # it and this object hold each other
        protocol.start(self.config, self.server_state, self._websocket_scope(), rest)

    def _websocket_scope(self) -> dict[str, Any]:
        path, _, query = self.url.partition(b"?")
        protocols = [value for name, value in self.headers if name == b"sec-websocket-protocol"]
        return {
            **self.scope,
            "type": "websocket",
            "scheme": "wss" if self.scheme == "https" else "ws",
            "path": unquote(path.decode("ascii", "replace")),
            "raw_path": path,
            "query_string": query,
            "subprotocols": [
                p.strip() for p in b",".join(protocols).decode("latin-1").split(",") if p.strip()
            ],
        }
