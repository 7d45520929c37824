"""Which implementation of the socket port a request has."""

from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from server.transport.asgi_socket import AsgiSocket
from server.transport.websocket_protocol import EXTENSION, WebSocketProtocol


async def accept(websocket: WebSocket, subprotocol: str | None = None) -> WebSocketProtocol | AsgiSocket:
    """Accepts the handshake: over our protocol class where the server runs it, over plain ASGI elsewhere."""
    protocol = websocket.scope.get("extensions", {}).get(EXTENSION)
    if isinstance(protocol, WebSocketProtocol):
        protocol.accept(subprotocol)
        return protocol
    await websocket.accept(subprotocol)
    return AsgiSocket(websocket)


async def refuse_handshake(websocket: WebSocket, status: HTTPStatus, text: str) -> None:
    """Answers the upgrade with an HTTP error; no WebSocket comes of it."""
    protocol = websocket.scope.get("extensions", {}).get(EXTENSION)
    if isinstance(protocol, WebSocketProtocol):
        protocol.refuse(status, text)
    else:
        await websocket.send_denial_response(PlainTextResponse(text, status))
