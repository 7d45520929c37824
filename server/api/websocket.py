"""`/ws/{user_id}?conversation_id=...`: the way in for devices."""

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server.core.joining import Refusal, read_join_request
from server.ports import Socket
from server.runtime.gateway import Gateway
from server.runtime.metrics import Metrics
from server.transport.socket import accept


class Nobody:
    """Hears the peer out after a refusal. Implements SocketUser."""

    def on_text(self, payload: bytes) -> None: ...

    def on_binary(self, payload: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int) -> None: ...


NOBODY = Nobody()


def websocket_route(gateway: Gateway, metrics: Metrics) -> WebSocketRoute:
    """Not a FastAPI route: its injection costs a third of a connection's acceptance, and answers a
    malformed part with HTTP 403, which no browser shows to anybody.
    """

    async def refuse(socket: Socket, refusal: Refusal) -> None:
        metrics.rejected[refusal.label] += 1
        socket.close(refusal.code, refusal.reason)
        await socket.attach(NOBODY)

    async def connect(websocket: WebSocket) -> None:
        client = websocket.client
        request = read_join_request(
            websocket.path_params["user_id"], websocket.query_params, client.host if client else ""
        )
        socket = await accept(websocket)
        answer = request if isinstance(request, Refusal) else await gateway.join(request, socket)
        if isinstance(answer, Refusal):
            await refuse(socket, answer)
        else:
            await socket.attach(answer)

    return WebSocketRoute("/ws/{user_id:path}", connect)
