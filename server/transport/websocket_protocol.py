"""The socket port on uvicorn: a WebSocket without a task, a queue or an await of its own.

After the handshake the endpoint attaches a SocketUser and returns; from then on `data_received`
calls it directly. No extensions: compression costs 30 to 80% of the throughput.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message
from uvicorn.server import ServerState

from server.core.websocket_frames import close_frame
from server.ports import SocketUser
from server.protocol import ABNORMAL_CLOSURE, CloseCode
from server.protocol.closing import SERVER_FAULT, SERVER_LEAVES
from server.transport.frame_parser import BINARY, CLOSE, PING, TEXT, FrameParser, ProtocolFault, parse_close
from server.transport.limits import Limits
from server.transport.refusal import http_refusal

log = structlog.get_logger()

# The key in an ASGI scope's extensions under which the endpoint finds this object.
EXTENSION: Final = "chat.socket"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BACKLOG: Final = 65536  # bytes kept of what a client says before the endpoint has attached
_CLOSED_BY_PEER: Final = "closed as the client asked"
_NO_STATUS: Final = 1005

Refusal = tuple[HTTPStatus, str]


def _ignore(frames: bytes) -> None:
    """What is written behind a close frame."""


class WebSocketProtocol(asyncio.Protocol):
    """Implements Socket. Made by the HTTP class when a client asks for the upgrade."""

    __slots__ = (
        "_backlog",
        "_close_timer",
        "_connections",
        "_head_writer",
        "_is_accepted",
        "_is_closing",
        "_is_over",
        "_is_paused",
        "_is_throttled",
        "_joining",
        "_key",
        "_limits",
        "_loop",
        "_parser",
        "_pong",
        "_user",
        "is_writable",
        "transport",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.transport = transport
        self.write: Callable[[bytes], None] = transport.write  # none of our calls between; see _begin_close
        self._head_writer: Callable[[bytes], None] | None = None
        self.is_writable = True
        self._loop = loop
        self._limits = limits
        self._parser = FrameParser(limits.max_message_size)
        self._user: SocketUser | None = None  # from `attach` to the end
        self._backlog = b""
        self._key = b""
        self._is_accepted = False  # the handshake is answered, one way or the other
        self._is_closing = False  # nothing more is said
        self._is_over = False  # nothing more is heard
        self._is_paused = False  # by the user
        self._is_throttled = False  # the transport does not read
        self._pong: bytes | None = None  # the last one owed to a peer that does not read
        self._close_timer: asyncio.TimerHandle | None = None
        self._joining: asyncio.Task[None] | None = None  # the endpoint, until it attaches a user
        self._connections: set[Any]

    # ---- the handshake --------------------------------------------------------------------------------

    def start(self, app: ASGIApp, state: ServerState, scope: dict[str, Any], rest: bytes) -> None:
        """Runs the application's endpoint for this request; `rest` came behind the request's head."""
        self._connections = state.connections
        self._connections.add(self)  # type: ignore[arg-type]  # typed as uvicorn's own classes
        self._backlog = rest
        fault = self._check_request(scope)
        if fault is not None:
            self.refuse(*fault)
            return
        scope["extensions"] = {EXTENSION: self}
        self._joining = task = self._loop.create_task(self._run(app, scope))
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)

    def _check_request(self, scope: dict[str, Any]) -> Refusal | None:
        headers = dict(scope["headers"])
        if scope["method"] != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is asked for by GET"
        if headers.get(b"sec-websocket-version") != b"13":
            return HTTPStatus.UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"
        self._key = headers.get(b"sec-websocket-key", b"")
        try:
            is_key = len(base64.b64decode(self._key, validate=True)) == 16
        except binascii.Error:
            is_key = False
        return None if is_key else (HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64")

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._asgi_receive, self._asgi_send)
        except Exception:
            log.exception("the WebSocket endpoint failed")
            self._fail_endpoint()
        self.refuse(HTTPStatus.NOT_FOUND, "no such WebSocket")  # where the endpoint did not answer at all

    def _fail_endpoint(self) -> None:
        if self._is_accepted:
            self.close(*SERVER_FAULT)
        else:
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the server")

    async def _asgi_receive(self) -> Message:
        """What a route that does not know this class may ask for: only whether somebody is there."""
        return {"type": "websocket.connect"}

    async def _asgi_send(self, event: Message) -> None:
        """Such a route can only refuse."""
        is_missing = event["type"] == "websocket.close"
        self.refuse(HTTPStatus.NOT_FOUND if is_missing else HTTPStatus.NOT_IMPLEMENTED, "no such WebSocket")

    def accept(self, subprotocol: str | None = None) -> None:
        """Answers the handshake, in one write with the first frames: the welcome, or why it is refused."""
        if self._is_accepted or self.transport.is_closing():
            return
        self._is_accepted = True
        digest = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        chosen = b"\r\nSec-WebSocket-Protocol: " + subprotocol.encode() if subprotocol else b""
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + digest + chosen + b"\r\n\r\n"
        )
        self.write = self._head_writer = partial(self._write_head, head)

    def _write_head(self, head: bytes, frames: bytes) -> None:
        self.write = self.transport.write
        self.write(head + frames)

    def _write_lone_head(self) -> None:
        if self.write is self._head_writer:
            self.write(b"")
        self._head_writer = None

    def refuse(self, status: HTTPStatus, text: str) -> None:
        """Answers the handshake with an HTTP error."""
        if self._is_accepted or self.transport.is_closing():
            return
        self._is_accepted = True
        needs_hint = status == HTTPStatus.UPGRADE_REQUIRED
        hint = b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n" if needs_hint else b""
        self.transport.write(http_refusal(status, text, hint))
        self._end(ABNORMAL_CLOSURE)
        self._linger()

    async def attach(self, user: SocketUser) -> None:
        """From now on the user hears what comes; first, what has come already. Returns at once."""
        self._joining = None
        if self._is_over:
            user.on_closed(ABNORMAL_CLOSURE)
            return
        self._user = user
        self._key = b""
        self._loop.call_soon(self._write_lone_head)  # behind the flush of what the endpoint has queued
        backlog, self._backlog = self._backlog, b""
        self.data_received(backlog)

    # ---- asyncio.Protocol -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        user = self._user
        if user is None:
            self._keep(data)
            return
        try:
            messages = self._parser.feed(data)
        except ProtocolFault as fault:
            self._fail(fault)
            return
        for opcode, payload in messages:
            if opcode == TEXT:
                user.on_text(payload)
            else:
                self._on_other(user, opcode, payload)
                if self._is_over:
                    return  # what came behind a close frame counts for nothing
        if self._is_throttled or self._parser.has_more:
            self._go_on()

    def eof_received(self) -> None:
        """The transport closes itself, once the peer has read what was written."""
        self._end(ABNORMAL_CLOSURE)
        self._stop_joining()
        self._cut_after(self._limits.close_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._end(ABNORMAL_CLOSURE)
        self._stop_joining()

    def _stop_joining(self) -> None:
        """Nobody waits for what the endpoint still has to ask of the store."""
        if self._joining is not None:
            self._joining.cancel()

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        pong, self._pong = self._pong, None
        if pong is not None:
            self.write(pong)
        if self._user is not None:
            self._user.on_writable()

    def shutdown(self) -> None:
        """uvicorn's own way to end a connection; our server closes them before it comes to this."""
        self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down")
        self.close(*SERVER_LEAVES)

    # ---- Socket ---------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        if self._is_closing:
            return
        self.write(close_frame(code, reason))
        self._begin_close()
        self._cut_after(self._limits.close_seconds)
        if self._is_paused:
            self.resume_reading()  # the peer's close frame is to be seen

    def pause_reading(self) -> None:
        self._is_paused = True
        self._throttle()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._continue)

    # ---- within ---------------------------------------------------------------------------------------

    def _begin_close(self) -> None:
        self._is_closing = True
        self.write = _ignore
        self._head_writer = None

    def _keep(self, data: bytes) -> None:
        if self._is_over:
            return
        self._backlog += data
        if len(self._backlog) > _BACKLOG:
            self._throttle()

    def _throttle(self) -> None:
        if not self._is_throttled and not self.transport.is_closing():
            self._is_throttled = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """What is left of the buffer waits for the next turn of the loop, so that others have theirs."""
        if self._is_paused:
            return
        if self._parser.has_more:
            self._throttle()
            self._loop.call_soon(self._continue)
        elif not self.transport.is_closing():
            self._is_throttled = False
            self.transport.resume_reading()

    def _continue(self) -> None:
        if not self._is_paused:
            self.data_received(b"")

    def _on_other(self, user: SocketUser, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            user.on_binary(payload)
        elif opcode == PING:
            self._answer_ping(payload)
        elif opcode == CLOSE:
            self._on_close(payload)

    def _answer_ping(self, payload: bytes) -> None:
        """A peer that sends pings but does not read gets the last pong alone: memory stays bounded."""
        pong = bytes((0x8A, len(payload))) + payload
        if self.is_writable:
            self.write(pong)
        else:
            self._pong = pong

    def _on_close(self, payload: bytes) -> None:
        try:
            code = parse_close(payload)
        except ProtocolFault as fault:
            self._fail(fault)
            return
        self.write(close_frame(CloseCode.NORMAL if code == _NO_STATUS else code, _CLOSED_BY_PEER))
        self.transport.close()
        self._cut_after(self._limits.close_seconds)
        self._end(code)

    def _fail(self, fault: ProtocolFault) -> None:
        """Tells the peer why, then hears nothing more of it."""
        self.write(close_frame(fault.code, fault.reason))
        self._end(fault.code, fault.reason)
        self._linger()

    def _end(self, code: int, reason: str = "") -> None:
        """Nothing more is said or heard. The user is told, once, and let go: each holds the other."""
        self._is_over = True
        self._begin_close()
        self._backlog = b""
        user, self._user = self._user, None
        if user is not None:
            user.on_closed(code, reason)

    def _linger(self) -> None:
        """Leaves it to the peer to close: if we did, bytes that were not read would destroy our answer."""
        self.transport.write_eof()
        if self._is_throttled:
            self.transport.resume_reading()
        self._cut_after(self._limits.linger_seconds)

    def _cut_after(self, seconds: float) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = self._loop.call_later(seconds, self.transport.abort)
