"""One message sent and acknowledged, as a client would: what `chatctl check` measures."""

import json
import time
import uuid
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from chatctl.client.network import certificates, proxy_for
from chatctl.failure import CommandError


def ack_milliseconds(url: str, user: str, conversation: str, token: str | None, timeout: float) -> float:
    """From the send of a CHAT_MESSAGE to its ACK. Raises CommandError with what came instead."""
    address = f"ws{url.removeprefix('http')}/ws/{user}?{urlencode({'conversation_id': conversation})}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with connect(
            address,
            additional_headers=headers,
            proxy=proxy_for(url),
            ssl=certificates() if url.startswith("https") else None,
            open_timeout=timeout,
            close_timeout=1,
        ) as socket:
            _await(socket, "SYSTEM", None, timeout)
            return _round_trip(socket, timeout)
    except ConnectionClosed as closed:
        raise CommandError(f"the server closed the connection: {_reason(closed)}") from None
    except TimeoutError:
        raise CommandError(f"no ACK within {timeout:g} seconds") from None
    except (OSError, InvalidHandshake) as error:
        raise CommandError(f"cannot open a WebSocket to {url}: {error}") from None


def _round_trip(socket: ClientConnection, timeout: float) -> float:
    message_id = str(uuid.uuid4())
    began = time.perf_counter()
    socket.send(json.dumps({"type": "CHAT_MESSAGE", "message_id": message_id, "data": "chatctl check"}))
    _await(socket, "ACK", message_id, timeout)
    return (time.perf_counter() - began) * 1000


def _await(socket: ClientConnection, kind: str, message_id: str | None, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=max(0, deadline - time.monotonic())))
        if frame["type"] in ("NACK", "ERROR"):
            raise CommandError(
                f"{frame['type']} instead of {kind}: {frame['data']} ({frame['error']['code']})"
            )
        if frame["type"] == kind and message_id in (None, frame.get("message_id")):
            return


def _reason(closed: ConnectionClosed) -> str:
    return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "without a close frame"
