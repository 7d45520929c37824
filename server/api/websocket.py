"""`/ws/{user_id}?conversation_id=...`: the way in for devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from server.core.connection_limits import origin_allowed
from server.core.join_request import JoinRequest, Refusal, read_join_request, read_query
from server.core.model import Refused
from server.protocol import CloseCode
from server.protocol.closing import FOREIGN_PAGE
from server.runtime.base.metrics import Metrics
from server.runtime.base.tokens import Tokens
from server.runtime.messages.join import JoinHandler
from server.runtime.rooms.admission import Admission
from server.runtime.rooms.room import Connection
from server.transport.socket import accept, refuse_handshake

SUBPROTOCOL: Final = "chat.v1"
_PATH: Final = "/ws/"
_BEARER: Final = "bearer."
_FULL: Final = "the server is full"
_FOREIGN_PAGE: Final = Refusal(*FOREIGN_PAGE, "origin")

_Headers = Mapping[bytes, bytes]


@dataclass(frozen=True)
class HandshakeChecks:
    """What is asked of whoever knocks, before it is asked where to."""

    admission: Admission
    allowed_origins: Sequence[str]
    tokens: Tokens | None

    def read(self, scope: Scope, address: str) -> JoinRequest | Refusal:
        """Return what a handshake from there asks for, or why it is refused."""
        headers = dict(reversed(scope["headers"]))  # of several with one name the first counts
        origin, host = _text(headers, b"origin"), _text(headers, b"host")
        if not origin_allowed(origin, host, self.allowed_origins):
            return _FOREIGN_PAGE
        query = read_query(scope["query_string"].decode("latin-1"))
        request = read_join_request(scope["path"].removeprefix(_PATH), query, address)
        if self.tokens is None or isinstance(request, Refusal):
            return request
        token = _token_of(headers, scope.get("subprotocols", ()), query)
        found = self.tokens.verify_for(token, request.user_id)
        if isinstance(found, Refused):
            return Refusal(CloseCode.POLICY_VIOLATION, found.text, "token")
        return request._replace(expires=found.expires)


def _text(headers: _Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _token_of(headers: _Headers, subprotocols: Sequence[str], query: Mapping[str, str]) -> str | None:
    """By header (native apps), subprotocol `bearer.T` (browsers) or `?token=`: the first present decides."""
    scheme, _, token = (_text(headers, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for offered in subprotocols:
        if offered.startswith(_BEARER):
            return offered.removeprefix(_BEARER)
    return query.get("token")


class WebSocketEndpoint:
    """ASGI application: lets devices in, or tells them why not.

    Our server calls it directly, behind no middleware but that of the proxies: what the framework's own do
    for a WebSocket would cost more than its joining. Elsewhere it is a route of the application.
    """

    def __init__(self, joins: JoinHandler, checks: HandshakeChecks, metrics: Metrics) -> None:
        self._joins = joins
        self._checks = checks
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one handshake, and the connection where the server does not do that by itself."""
        if not scope["path"].startswith(_PATH):
            await refuse_handshake(scope, receive, send, HTTPStatus.NOT_FOUND, "no such WebSocket")
            return
        address = scope["client"][0] if scope["client"] else ""
        visitor = self._checks.admission.receive(address)
        if visitor is None:
            self._metrics.rejected["server_full"] += 1
            await refuse_handshake(scope, receive, send, HTTPStatus.SERVICE_UNAVAILABLE, _FULL)
            return
        answer: Connection | Refusal | None = None
        try:
            request = self._checks.read(scope, address)
            offered = scope.get("subprotocols", ())
            socket = await accept(scope, receive, send, SUBPROTOCOL if SUBPROTOCOL in offered else None)
            answer = request if isinstance(request, Refusal) else await self._joins.join(request, socket)
        finally:
            if not isinstance(answer, Refusal):
                visitor.leave()
        if isinstance(answer, Refusal):
            self._metrics.rejected[answer.label] += 1
            socket.close(answer.code, answer.reason)
            await socket.attach(visitor)
        else:
            await socket.attach(answer)


def websocket_route(endpoint: WebSocketEndpoint) -> WebSocketRoute:
    """Make the endpoint a route of an application that runs under any ASGI server."""
    return WebSocketRoute(_PATH + "{user_id:path}", endpoint)
