"""Which implementation of the socket port a request has."""

from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from server.transport.asgi_socket import AsgiSocket
from server.transport.websocket_protocol import EXTENSION, WebSocketProtocol


async def accept(
    scope: Scope, receive: Receive, send: Send, subprotocol: str | None = None
) -> WebSocketProtocol | AsgiSocket:
    """Accepts the handshake: over our protocol class where the server runs it, over plain ASGI elsewhere."""
    if (protocol := _protocol_of(scope)) is not None:
        protocol.accept(subprotocol)
        return protocol
    websocket = WebSocket(scope, receive, send)
    await websocket.accept(subprotocol)
    return AsgiSocket(websocket)


async def refuse_handshake(scope: Scope, receive: Receive, send: Send, status: HTTPStatus, text: str) -> None:
    """Answers the upgrade with an HTTP error; no WebSocket comes of it."""
    if (protocol := _protocol_of(scope)) is not None:
        protocol.refuse(status, text)
    else:
        await WebSocket(scope, receive, send).send_denial_response(PlainTextResponse(text, status))


def _protocol_of(scope: Scope) -> WebSocketProtocol | None:
    protocol = scope.get("extensions", {}).get(EXTENSION)
    return protocol if isinstance(protocol, WebSocketProtocol) else None
