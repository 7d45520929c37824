"""The WebSocket under the asyncio client, on the `websockets` library: one connection at a time."""

import asyncio
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from chatctl.client.backoff import close_code_of_refusal
from chatctl.client.network import certificates
from server.protocol import ABNORMAL_CLOSURE, CloseCode

# Far above a frame with the longest AI text that a server could be configured for.
_MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
_CLOSE_TIMEOUT: Final = 2.0  # seconds for the server's close frame, when this side closes


class Wire:
    """Hands each message to `received`: str for a text frame, bytes for a binary one.

    `origin` tells whether there is TLS, `proxy` is the address of one or None.
    """

    def __init__(self, origin: str, proxy: str | None, received: Callable[[str | bytes], None]) -> None:
        self._tls = certificates() if urlsplit(origin).scheme in ("https", "wss") else None
        self._proxy = proxy
        self._received = received
        self._socket: ClientConnection | None = None
        self._to_write: asyncio.Queue[str] = asyncio.Queue()

    async def converse(self, url: str, headers: dict[str, str]) -> tuple[int, str]:
        """Serves a connection from its handshake to its end. Returns the close code and the reason."""
        try:
            async with connect(
                url,
                additional_headers=headers,
                compression=None,
                ping_interval=None,  # the protocol has a heartbeat of its own
                close_timeout=_CLOSE_TIMEOUT,
                max_size=_MAX_FRAME_BYTES,
                proxy=self._proxy,
                ssl=self._tls,
            ) as socket:
                return await self._exchange(socket)
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            return close_code_of_refusal(status), f"the server answered with HTTP status {status}"
        except (OSError, WebSocketException) as error:
            return ABNORMAL_CLOSURE, _told(error)

    def write(self, frame: str) -> None:
        """Sends a text frame after those before it; nobody waits for a slow connection."""
        self._to_write.put_nowait(frame)

    def abort(self) -> None:
        """Ends the connection without a good-bye."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def close(self) -> None:
        """Says good-bye, if there is a connection, and waits for the answer."""
        if self._socket is not None:
            await self._socket.close()

    async def _exchange(self, socket: ClientConnection) -> tuple[int, str]:
        self._socket, self._to_write = socket, asyncio.Queue()
        writer = asyncio.create_task(self._write_on(socket, self._to_write))
        try:
            while True:
                self._received(await socket.recv())
        except ConnectionClosed:
            return socket.close_code or ABNORMAL_CLOSURE, socket.close_reason or ""
        except asyncio.CancelledError:  # the program ends: the library would call that an internal error
            await socket.close(CloseCode.GOING_AWAY)
            raise
        finally:
            self._socket = None
            writer.cancel()

    @staticmethod
    async def _write_on(socket: ClientConnection, frames: asyncio.Queue[str]) -> None:
        with suppress(ConnectionClosed):
            while True:
                await socket.send(await frames.get())


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
