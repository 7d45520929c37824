"""A handshake with headers of one's own, and what became of it."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.server import RunningServer

OK = (0, "")


def knock(
    server: RunningServer, user: str = "kai", conversation: str = "c", query: str = "", **options: Any
) -> ClientConnection:
    """`query` begins with `&`; `options` are those of `websockets`' connect."""
    path = f"/ws/{user}?conversation_id={conversation}{query}"
    device: ClientConnection = connect(server.websocket + path, compression=None, **options)
    return device


def silent_knock(server: RunningServer, user: str = "kai") -> tuple[socket.socket, int]:
    """A peer that reads the HTTP status of its handshake, and then neither reads nor closes."""
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    peer.sendall(
        f"GET /ws/{user}?conversation_id=c HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    return peer, int(peer.recv(12).split()[1])


def verdict(device: ClientConnection) -> tuple[int, str]:
    """The code and reason of its refusal; OK where it was welcomed."""
    try:
        assert json.loads(device.recv(timeout=5))["data"]["event"] == "connected"
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.code, end.rcvd.reason
    return OK


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
