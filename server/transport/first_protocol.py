"""Who reads a new connection, decided by its first bytes."""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from server.transport.http_protocol import HttpProtocol
from server.transport.limits import Limits
from server.transport.upgrade_head import UpgradeHead, read_upgrade, websocket_scope
from server.transport.websocket_protocol import WebSocketProtocol

_REQUEST: Final = {
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "server": None,
    "root_path": "",
}


class FirstProtocol(asyncio.Protocol):
    """Answers a plain WebSocket handshake itself, and leaves all else to the HTTP class.

    To make uvicorn's HTTP class and its parser, and to call it with each header, costs more than the welcome.
    """

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
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._websockets = websockets
        self._limits = limits
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type]  # typed as uvicorn's own classes
        self._timer = self._loop.call_later(self._limits.head_seconds, self._go_on_by_http, b"")

    def data_received(self, data: bytes) -> None:
        head = read_upgrade(data)
        if (
            head is None
            or head.size > self._limits.max_head_size
            or len(head.headers) > self._limits.max_headers
        ):
            self._go_on_by_http(data)
        else:
            self._upgrade(head, data[head.size :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        """uvicorn's way to end a connection that is idle."""
        self._transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._state.connections.discard(self)

    def _go_on_by_http(self, data: bytes) -> None:
        """Hands the connection over, with the time that is left for its head."""
        self._leave()
        seconds = max(0.0, self._timer.when() - self._loop.time())
        protocol = HttpProtocol(
            self._config,
            self._state,
            self._app_state,
            self._loop,
            websockets=self._websockets,
            limits=self._limits,
        )
        self._transport.set_protocol(protocol)
        protocol.take_over(self._transport, seconds)
        if data:
            protocol.data_received(data)

    def _upgrade(self, head: UpgradeHead, rest: bytes) -> None:
        self._leave()
        transport = self._transport
        peer = transport.get_extra_info("peername")
        request = {
            **_REQUEST,
            "client": tuple(peer[:2]) if peer else None,  # gone already
            "scheme": "https" if is_ssl(transport) else "http",
        }
        protocol = WebSocketProtocol(transport, self._loop, self._limits)
        transport.set_protocol(protocol)
        protocol.start(
            self._websockets, self._state, websocket_scope(request, head.target, head.headers), rest
        )
