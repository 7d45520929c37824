"""uvicorn's HTTP class with the guards it lacks, and the way to our WebSocket class."""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from server.ports.body import EXTENSION, BodySink
from server.transport.limits import Limits
from server.transport.refusal import http_refusal
from server.transport.upgrade_head import websocket_scope
from server.transport.websocket_protocol import WebSocketProtocol


class _HeadTooLarge(Exception):
    """Raised within a callback of the parser, which wraps it."""


class HttpProtocol(HttpToolsProtocol):
    """What breaks a limit is answered, then nothing more is heard of that connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        websockets: ASGIApp,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._websockets = websockets
        self._limits = limits
        self._is_refused = False
        self._is_in_head = True
        self._head_size = 0
        self._pending = 0  # bytes fed since the parser last gave out something: it holds them, or may
        self._sink: BodySink | None = None  # of the request that is being read
        self._timer: asyncio.TimerHandle | None = None  # for a head, or for the end of a refused connection

    def take_over(self, transport: asyncio.Transport, seconds: float) -> None:
        """Serves a connection, the first head of which has to be whole within the seconds.

        In place of uvicorn's `connection_made`. The socket's own address is left out: nobody asks for it, and
        to find it costs a system call.
        """
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        peer = transport.get_extra_info("peername")
        self.client = tuple(peer[:2]) if peer else None  # gone already
        self.scheme = "https" if is_ssl(transport) else "http"
        self._await_head(seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        self._cut_body()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        if self._is_in_head and self._timer is None:
            self._await_head(self._limits.head_seconds)
        self._pending += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as fault:
            if isinstance(fault.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "Invalid HTTP request received.")
        if self._pending > self._limits.max_head_size:
            self._refuse_head()

    def _feed(self, data: bytes) -> None:
        """An upgrade to anything but a WebSocket is ignored (RFC 9110, 7.8). Raises HttpParserError."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._should_upgrade():
                    self._take_upgrade(data)
                    return

    # ---- the parser's callbacks -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))
        if len(self.headers) > self._limits.max_headers:
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_timer()
        if not self.parser.should_upgrade():
            self.scope["extensions"] = {EXTENSION: {"attach": self._attach}}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        if self._sink is not None:
            self._sink.on_data(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending = 0
        self._is_in_head = True
        super().on_message_complete()
        if self._sink is not None:
            self._end_body()

    # ---- a body that is handed on as it comes -----------------------------------------------------------

    def _attach(self, sink: BodySink | None) -> None:
        """Implement Attach: hand the body of the request that is being read to the sink."""
        self._sink = sink
        cycle = self.cycle
        if sink is None:
            return
        if cycle.disconnected:
            self._cut_body()
            return
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        data, cycle.body = bytes(cycle.body), bytearray()
        self.flow.resume_reading()
        if data:
            sink.on_data(data)
        if not cycle.more_body:
            self._end_body()

    def _end_body(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_end()

    def _cut_body(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_cut()

    # ---- within -----------------------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        self._pending = 0
        self._head_size += size
        if self._head_size > self._limits.max_head_size:
            raise _HeadTooLarge

    def _await_head(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request's headers did not come in time.")

    def _refuse_head(self) -> None:
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large.")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """The last answer. The peer closes: if we did, bytes that were not read would destroy it."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        if not self._gives_up_answer():
            self.transport.write(http_refusal(status, text))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._stop_timer()
        self._timer = self.loop.call_later(self._limits.linger_seconds, self.transport.abort)

    def _gives_up_answer(self) -> bool:
        """Ends the answer that is being made; whether a part of it is sent, so that none can follow it."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        self._cut_body()
        return cycle.response_started

    def _take_upgrade(self, rest: bytes) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(HTTPStatus.BAD_REQUEST, "An upgrade must wait for the answers before it.")
            return
        self.connections.discard(self)
        protocol = WebSocketProtocol(self.transport, self.loop, self._limits)
        self.transport.set_protocol(protocol)
        self.parser = None  # type: ignore[assignment]  # it and this object hold each other
        scope = websocket_scope({**self.scope}, self.url, self.headers)
        protocol.start(self._websockets, self.server_state, scope, rest)
