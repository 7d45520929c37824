"""WebSocket and HTTP as bytes on a socket, to say what no library would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, as its answer
ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_MASK: Final = b"\x12\xf4\x56\x9a"
PATIENCE: Final = 10.0  # seconds


def client_frame(opcode: int, payload: bytes = b"", fin: bool = True, reserved: int = 0) -> bytes:
    """A masked frame. `reserved`: the bits 0x40, 0x20 and 0x10."""
    size = len(payload)
    key = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes((0x80 * fin | reserved | opcode,)) + _length(size) + _MASK + masked


def _length(size: int) -> bytes:
    if size < 126:
        return bytes((0x80 | size,))
    if size < 65536:
        return b"\xfe" + size.to_bytes(2, "big")
    return b"\xff" + size.to_bytes(8, "big")


def upgrade_request(path: str, **headers: str | None) -> bytes:
    """The handshake; `headers` (underscores are dashes) replace its own, or leave one out when None."""
    fields = {
        "host": "localhost",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": KEY,
        "sec-websocket-version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


class Wire:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def http_answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and the body where its length is given."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Of the close frame, which must have a reason; frames before it are passed over."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                assert 0 < len(payload[2:]) <= 123
                return int.from_bytes(payload[:2], "big")

    async def end(self) -> bytes:
        """What still comes until the server ends its side."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def websocket(port: int, path: str = "/echo") -> AsyncIterator[Wire]:
    """After the handshake."""
    async with wire(port) as it:
        it.send(upgrade_request(path))
        status, _, _ = await it.http_answer()
        assert status == 101
        yield it
