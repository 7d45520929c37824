"""`/ws/{user_id}?conversation_id=...`: the way in for devices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server.core.connection_limits import origin_allowed
from server.core.join_request import JoinRequest, Refusal, read_join_request
from server.core.model import Refused
from server.protocol import CloseCode
from server.runtime.base.metrics import Metrics
from server.runtime.base.tokens import Tokens
from server.runtime.messages.join import JoinHandler
from server.runtime.rooms.admission import Admission
from server.runtime.rooms.room import Connection
from server.transport.socket import accept, refuse_handshake

SUBPROTOCOL: Final = "chat.v1"
_BEARER: Final = "bearer."
_FULL: Final = "the server is full"
_FOREIGN_PAGE: Final = Refusal(
    CloseCode.POLICY_VIOLATION, "pages of this origin may not connect (server.allowed_origins)", "origin"
)


@dataclass(frozen=True)
class HandshakeChecks:
    """What is asked of whoever knocks, before it is asked where to."""

    admission: Admission
    allowed_origins: Sequence[str]
    tokens: Tokens | None

    def read(self, websocket: WebSocket, address: str) -> JoinRequest | Refusal:
        """What a handshake from there asks for, or why it is refused."""
        headers = websocket.headers
        if not origin_allowed(headers.get("origin"), headers.get("host"), self.allowed_origins):
            return _FOREIGN_PAGE
        request = read_join_request(websocket.path_params["user_id"], websocket.query_params, address)
        if self.tokens is None or isinstance(request, Refusal):
            return request
        found = self.tokens.verify_for(token_of(websocket), request.user_id)
        if isinstance(found, Refused):
            return Refusal(CloseCode.POLICY_VIOLATION, found.text, "token")
        return replace(request, expires=found.expires)


def token_of(websocket: WebSocket) -> str | None:
    """By header (native apps), subprotocol `bearer.T` (browsers) or `?token=`: the first present decides."""
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for offered in websocket.scope.get("subprotocols", ()):
        if offered.startswith(_BEARER):
            return str(offered).removeprefix(_BEARER)
    return websocket.query_params.get("token")


def websocket_route(joins: JoinHandler, checks: HandshakeChecks, metrics: Metrics) -> WebSocketRoute:
    """Not a FastAPI route: its injection costs a third of a connection's acceptance, and answers a
    malformed part with HTTP 403, which no browser shows to anybody.
    """

    async def connect(websocket: WebSocket) -> None:
        address = websocket.client.host if websocket.client else ""
        visitor = checks.admission.receive(address)
        if visitor is None:
            metrics.rejected["server_full"] += 1
            await refuse_handshake(websocket, HTTPStatus.SERVICE_UNAVAILABLE, _FULL)
            return
        answer: Connection | Refusal | None = None
        try:
            request = checks.read(websocket, address)
            offered = websocket.scope.get("subprotocols", ())
            socket = await accept(websocket, SUBPROTOCOL if SUBPROTOCOL in offered else None)
            answer = request if isinstance(request, Refusal) else await joins.join(request, socket)
        finally:
            if not isinstance(answer, Refusal):
                visitor.leave()
        if isinstance(answer, Refusal):
            metrics.rejected[answer.label] += 1
            socket.close(answer.code, answer.reason)
            await socket.attach(visitor)
        else:
            await socket.attach(answer)

    return WebSocketRoute("/ws/{user_id:path}", connect)
