"""The benchmark's WebSocket against the library's own server."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from loadtest.bench.connection import Connection

SIZES = [0, 1, 125, 126, 65535, 65536, 200_000]


async def talk(payloads: list[bytes]) -> tuple[list[bytes], int | None]:
    """Sends each to a server that echoes; what came back, and the close code that the server saw."""
    received: asyncio.Queue[bytes] = asyncio.Queue()
    closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message, text=True)
        closed.set_result(socket.close_code)

    async with asyncio.timeout(10), serve(echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.open(f"http://127.0.0.1:{port}/", received.put_nowait, lambda: None)
        await asyncio.sleep(0.1)
        for payload in payloads:
            connection.send(payload)
        echoes = [await received.get() for _ in payloads]
        connection.close()
        return echoes, await closed


def test_frames_of_every_length_come_through() -> None:
    small_enough_to_send = [size for size in SIZES if size < 65536]
    payloads = [b"x" * size for size in small_enough_to_send]
    echoes, code = asyncio.run(talk(payloads))
    assert echoes == payloads
    assert code == 1000


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_may_come_in_any_pieces(size: int) -> None:
    received: list[bytes] = []
    connection = Connection("http://127.0.0.1/", received.append, lambda: None)
    if size < 126:
        header = bytes((0x81, size))
    elif size < 65536:
        header = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        header = b"\x81\x7f" + size.to_bytes(8, "big")
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + (header + b"y" * size) * 2
    step = max(1, len(stream) // 97)
    for start in range(0, len(stream), step):
        connection.data_received(stream[start : start + step])
    assert received == [b"y" * size] * 2
