"""A device by the bare `websockets` library: it shows every frame and hides nothing."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.server import RunningServer

CONVERSATION = "conv_kai_ai_alex"


class Device:
    """Connected and welcomed."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome = self.receive()

    def say(self, message_id: str, text: str) -> None:
        self.send({"type": "CHAT_MESSAGE", "message_id": message_id, "data": text})

    def send(self, frame: Any) -> None:
        self.socket.send(json.dumps(frame))

    def receive(self, timeout: float = 5) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.socket.recv(timeout=timeout))
        return frame

    def receive_until(self, *types: str) -> dict[str, Any]:
        """Return the next frame of one of the types; those before it are passed over."""
        while (frame := self.receive())["type"] not in types:
            pass
        return frame

    def ask(self, frame: Any) -> dict[str, Any]:
        """Sends a frame and returns its answer."""
        self.send(frame)
        while (answer := self.receive())["type"] not in ("ACK", "NACK", "ERROR", "PONG"):
            pass
        return answer

    def wait_for_close(self) -> tuple[int, str]:
        """The code and reason that the server closes with."""
        try:
            while True:
                self.socket.recv(timeout=10)
        except ConnectionClosed as end:
            assert end.rcvd is not None
            return end.rcvd.code, end.rcvd.reason


Connect = Callable[..., Device]


def connector(stack: ExitStack) -> Connect:
    """`connect(server, client_id, user=..., conversation=..., **query)`; the stack ends the connections."""

    def open_device(
        server: RunningServer,
        client_id: str,
        user: str = "kai",
        conversation: str = CONVERSATION,
        **query: Any,
    ) -> Device:
        more = "".join(f"&{name}={value}" for name, value in query.items())
        path = f"/ws/{user}?conversation_id={conversation}&client_id={client_id}{more}"
        return Device(stack.enter_context(connect(server.websocket + path, compression=None)))

    return open_device
