"""A WebSocket that does as little as can be: text frames both ways, on asyncio."""

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

from server.protocol import CloseCode

_TEXT: Final = 0x81
_CLOSE: Final = 0x88
_MASKED: Final = 0x80
# A client has to mask; with zeros that costs the server the same and this side nothing.
_ZERO_MASK: Final = b"\0\0\0\0"
_GOOD_BYE: Final = bytes([_CLOSE, _MASKED | 2]) + _ZERO_MASK + CloseCode.NORMAL.to_bytes(2, "big")


class Connection(asyncio.Protocol):
    """`received` gets each text frame's payload, `ended` is called when the connection is lost."""

    def __init__(self, url: str, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._url = urlsplit(url)
        self._received = received
        self._ended = ended
        self._buffer = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls, url: str, received: Callable[[bytes], None], ended: Callable[[], None]
    ) -> "Connection":
        """Connects and sends the request to upgrade; the first frame tells that it was granted."""
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        create = asyncio.get_running_loop().create_connection
        _, connection = await create(lambda: cls(url, received, ended), parts.hostname, parts.port)
        return connection

    def send(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_header(len(payload)) + _ZERO_MASK + payload)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.write(_GOOD_BYE)
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"GET {self._url.path}?{self._url.query} HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        start = 0
        if not self._upgraded:
            start = data.find(b"\r\n\r\n") + 4
            self._upgraded = start > 4
        while self._upgraded and (frame := _frame_at(data, start)) is not None:
            opcode, payload, start = frame
            if opcode == _TEXT:
                self._received(payload)
            elif opcode == _CLOSE:
                self.close()
        self._buffer = data[start:] if self._upgraded else data

    def connection_lost(self, error: Exception | None) -> None:
        self._ended()


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((_TEXT, _MASKED | length))
    return bytes((_TEXT, _MASKED | 126)) + length.to_bytes(2, "big")


def _frame_at(data: bytes, start: int) -> tuple[int, bytes, int] | None:
    """First byte, payload and end of the whole frame that begins there; None when more has to come."""
    if len(data) < start + 2:
        return None
    length, begin = data[start + 1], start + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        length = int.from_bytes(data[start + 2 : begin], "big")
    end = begin + length
    return (data[start], data[begin:end], end) if len(data) >= max(begin, end) else None
