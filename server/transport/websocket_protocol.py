"""The socket port on uvicorn: a WebSocket without a task, a queue or an await of its own.

After the handshake the endpoint attaches a SocketUser and returns; from then on `data_received`
calls it directly. No extensions: compression costs 30 to 80% of the throughput.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any, Final

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from server.core.framing import close_frame
from server.ports import SocketUser
from server.protocol import CloseCode
from server.transport.frame_parser import BINARY, CLOSE, PING, TEXT, FrameParser, ProtocolFault, parse_close

log = structlog.get_logger()

# The key in an ASGI scope's extensions under which the endpoint finds this object.
EXTENSION: Final = "chat.socket"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CLOSE_SECONDS: Final = 10.0  # for the peer to answer a close frame; then the socket is cut
_FAULT_SECONDS: Final = 2.0  # for a peer that broke the protocol to read why
_BACKLOG: Final = 65536  # bytes kept of what a client says before the endpoint has attached
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006

Headers = list[tuple[bytes, bytes]]


def _ignore(frames: bytes) -> None:
    """What is written behind a close frame."""


class WebSocketProtocol(asyncio.Protocol):
    """Implements Socket. Made by the HTTP class when a client asks for the upgrade."""

    __slots__ = (
        "_backlog",
        "_close_timer",
        "_connections",
        "_is_accepted",
        "_is_closing",
        "_is_deaf",
        "_is_lost",
        "_is_paused",
        "_is_throttled",
        "_key",
        "_loop",
        "_parser",
        "_peer_code",
        "_pong",
        "_user",
        "is_writable",
        "transport",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, max_size: int) -> None:
        self.transport = transport
        self.write: Callable[[bytes], None] = transport.write  # none of our calls between; see _begin_close
        self.is_writable = True
        self._loop = loop
        self._parser = FrameParser(max_size)
        self._user: SocketUser | None = None
        self._backlog = b""
        self._key = b""
        self._is_accepted = False
        self._is_closing = False  # a close frame was sent
        self._is_deaf = False  # after a fault nothing more is understood
        self._is_lost = False
        self._is_paused = False  # by the user
        self._is_throttled = False  # the transport does not read
        self._peer_code = _ABNORMAL
        self._pong: bytes | None = None  # the last one owed to a peer that does not read
        self._close_timer: asyncio.TimerHandle | None = None
        self._connections: set[Any]

    # ---- the handshake --------------------------------------------------------------------------------

    def start(self, config: Config, state: ServerState, scope: dict[str, Any], rest: bytes) -> None:
        """Runs the application's endpoint for this request; `rest` came behind the request's head."""
        self._connections = state.connections
        self._connections.add(self)  # type: ignore[arg-type]  # typed as uvicorn's own classes
        self._backlog = rest
        fault = self._check_request(scope)
        if fault is not None:
            self.refuse(*fault)
            return
        scope["extensions"] = {EXTENSION: self}
        task = self._loop.create_task(self._run(config.loaded_app, scope))
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)

    def _check_request(self, scope: dict[str, Any]) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if headers.get(b"sec-websocket-version") != b"13":
            return 426, "Sec-WebSocket-Version must be 13"
        self._key = headers.get(b"sec-websocket-key", b"")
        try:
            is_key = len(base64.b64decode(self._key, validate=True)) == 16
        except binascii.Error:
            is_key = False
        return None if is_key else (400, "Sec-WebSocket-Key must be 16 bytes in base64")

    async def _run(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._asgi_receive, self._asgi_send)
        except Exception:
            log.exception("the WebSocket endpoint failed")
            self.refuse(500, "a fault of the server")
            self.close(CloseCode.INTERNAL_ERROR, "a fault of the server")
        self.refuse(404, "no such WebSocket")  # where the endpoint did not answer at all

    async def _asgi_receive(self) -> dict[str, Any]:
        """What a route that does not know this class may ask for: only whether somebody is there."""
        return {"type": "websocket.connect"}

    async def _asgi_send(self, event: dict[str, Any]) -> None:
        """Such a route can only refuse."""
        self.refuse(404 if event["type"] == "websocket.close" else 501, "no such WebSocket")

    def accept(self, subprotocol: str | None = None) -> None:
        """Answers the handshake."""
        if self._is_accepted or self.transport.is_closing():
            return
        self._is_accepted = True
        digest = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        chosen = b"\r\nSec-WebSocket-Protocol: " + subprotocol.encode() if subprotocol else b""
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + digest + chosen + b"\r\n\r\n"
        )

    async def attach(self, user: SocketUser) -> None:
        """From now on the user hears what comes; first, what has come already. Returns at once."""
        self._user = user
        self._key = b""
        if self._is_lost:
            user.on_closed(self._peer_code)
            return
        backlog, self._backlog = self._backlog, b""
        self._process(backlog)

    # ---- asyncio.Protocol -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._user is None:
            self._keep(data)
        else:
            self._process(data)

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._begin_close()
        self._connections.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if self._user is not None:
            self._user.on_closed(self._peer_code)

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        if self._pong is not None:
            self.transport.write(self._pong)
            self._pong = None
        if self._user is not None:
            self._user.on_writable()

    def shutdown(self) -> None:
        """uvicorn's own way to end a connection; our server closes them before it comes to this."""
        self.close(CloseCode.GOING_AWAY, "the server is shutting down")

    # ---- Socket ---------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        if self._is_closing:
            return
        self._begin_close()
        self.transport.write(close_frame(code, reason))
        self._cut_after(_CLOSE_SECONDS)
        if self._is_paused:
            self.resume_reading()  # the peer's close frame is to be seen

    def pause_reading(self) -> None:
        self._is_paused = True
        self._throttle()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._process, b"")

    # ---- within ---------------------------------------------------------------------------------------

    def _begin_close(self) -> None:
        self._is_closing = True
        self.write = _ignore

    def _keep(self, data: bytes) -> None:
        self._backlog += data
        if len(self._backlog) > _BACKLOG:
            self._throttle()

    def _throttle(self) -> None:
        if not self._is_throttled and not self.transport.is_closing():
            self._is_throttled = True
            self.transport.pause_reading()

    def _process(self, data: bytes) -> None:
        if self._is_lost or self._is_deaf:
            return
        try:
            messages = self._parser.feed(data)
        except ProtocolFault as fault:
            self._fail(fault)
            return
        user = self._user
        assert user is not None
        for opcode, payload in messages:
            if opcode == TEXT:
                user.on_text(payload)
            else:
                self._on_other(user, opcode, payload)
        if not self._is_paused and (self._is_throttled or self._parser.has_more):
            self._go_on()

    def _go_on(self) -> None:
        """What is left of the buffer waits for the next turn of the loop, so that others have theirs."""
        if self._parser.has_more:
            self._throttle()
            self._loop.call_soon(self._process, b"")
        elif not self.transport.is_closing():
            self._is_throttled = False
            self.transport.resume_reading()

    def _on_other(self, user: SocketUser, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            user.on_binary()
        elif opcode == PING:
            self._answer_ping(payload)
        elif opcode == CLOSE:
            self._on_close(payload)

    def _answer_ping(self, payload: bytes) -> None:
        """A peer that sends pings but does not read gets the last pong alone: memory stays bounded."""
        pong = bytes((0x8A, len(payload))) + payload
        if self._is_closing:
            return
        if self.is_writable:
            self.transport.write(pong)
        else:
            self._pong = pong

    def _on_close(self, payload: bytes) -> None:
        try:
            code = parse_close(payload)
        except ProtocolFault as fault:
            self._fail(fault)
            return
        if not self._is_closing:
            self._begin_close()
            self._peer_code = code
            self.transport.write(close_frame(CloseCode.NORMAL if code == _NO_STATUS else code, ""))
        self._is_deaf = True
        self.transport.close()
        self._cut_after(_CLOSE_SECONDS)

    def _fail(self, fault: ProtocolFault) -> None:
        """Tells the peer why, then hears nothing more of it.

        The socket is closed by the peer: if we did, bytes that were not read would destroy our answer.
        """
        self._is_deaf = True
        if not self._is_closing:
            self._begin_close()
            self._peer_code = fault.code
            self.transport.write(close_frame(fault.code, fault.reason))
        self.transport.write_eof()
        if self._is_throttled:
            self.transport.resume_reading()
        self._cut_after(_FAULT_SECONDS)
        if self._user is not None:
            self._user.on_closed(self._peer_code)

    def _cut_after(self, seconds: float) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = self._loop.call_later(seconds, self.transport.abort)

    def refuse(self, status: int, text: str) -> None:
        """Answers the handshake with an HTTP error."""
        if self._is_accepted or self.transport.is_closing():
            return
        self._is_accepted = True
        body = text.encode()
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
            b"Sec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()
