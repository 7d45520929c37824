import asyncio
import gc
import socket
from collections.abc import Callable
from contextlib import closing
from typing import cast

import pytest

from server.transport.limits import Limits
from server.transport.websocket_protocol import WebSocketProtocol
from tests.support.asynchronous import on_uvloop
from tests.support.echo_server import Echo, EchoServer, echo_server
from tests.support.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Wire,
    client_frame,
    upgrade_request,
    websocket,
    wire,
)

MAX = 1000  # bytes in a message
LIMITS = Limits(max_message_size=MAX)
HURRIED = Limits(max_message_size=MAX, close_seconds=0.2, linger_seconds=0.2)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # what is asked for has no event
            await asyncio.sleep(0.01)


async def user_of(server: EchoServer) -> Echo:
    """That of the first connection."""
    await until(lambda: bool(server.users))
    return server.users[0]


def protocol_of(user: Echo) -> WebSocketProtocol:
    return cast(WebSocketProtocol, user.socket)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(client_frame(TEXT, b"x" * (MAX + 1)), 1009, id="frame over the limit"),
        pytest.param(client_frame(TEXT, b"x" * 5_000_000), 1009, id="frame far over the limit"),
        pytest.param(
            client_frame(TEXT, b"x" * MAX, fin=False) + client_frame(CONTINUATION, b"x"),
            1009,
            id="message over the limit",
        ),
        pytest.param(
            client_frame(TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 1_000_000,
            1009,
            id="flood of empty fragments",
        ),
        pytest.param(client_frame(TEXT, b"\xff"), 1007, id="invalid UTF-8"),
        pytest.param(b"\x81\x01x", 1002, id="unmasked frame"),
        pytest.param(client_frame(TEXT, b"x", reserved=0x40), 1002, id="compressed frame"),
        pytest.param(client_frame(3), 1002, id="reserved opcode"),
        pytest.param(client_frame(CLOSE, b"\x03"), 1002, id="malformed close frame"),
    ],
)
@on_uvloop
async def test_a_fault_closes_the_connection_behind_the_answers_to_what_came_before(
    frames: bytes, code: int
) -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        it.send(client_frame(TEXT, b"before") + frames)

        assert await it.frame() == (TEXT, b"before")
        assert await it.close_code() == code
        assert await it.end() == b""
        assert server.users[0].closed_with == [code]


@on_uvloop
async def test_a_peer_that_goes_on_after_its_fault_is_cut() -> None:
    async with echo_server(HURRIED) as server, websocket(server.port) as it:
        it.send(client_frame(3))
        assert await it.close_code() == 1002

        with pytest.raises(ConnectionError):
            while True:
                it.send(client_frame(TEXT, b"more"))
                await it.writer.drain()
                await asyncio.sleep(0.02)


@on_uvloop
async def test_a_close_frame_is_answered_with_its_code_and_what_comes_behind_it_does_not_count() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        heard: list[bytes] = []
        (await user_of(server)).on_text = heard.append  # type: ignore[method-assign, assignment]
        it.send(client_frame(TEXT, b"counts") + client_frame(CLOSE, (4321).to_bytes(2, "big")))
        it.send(client_frame(TEXT, b"behind") + client_frame(PING) + client_frame(CLOSE))

        assert await it.close_code() == 4321
        assert await it.end() == b""
        assert (heard, server.users[0].closed_with) == ([b"counts"], [4321])


@on_uvloop
async def test_an_empty_close_frame_is_answered_1000() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        it.send(client_frame(CLOSE))

        assert await it.close_code() == 1000
        assert server.users[0].closed_with == [1005]


@on_uvloop
async def test_after_its_own_close_the_server_reads_on_until_the_peer_closes_too() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        user, heard = await user_of(server), list[bytes]()
        user.on_text = heard.append  # type: ignore[method-assign, assignment]
        user.socket.pause_reading()
        it.send(client_frame(TEXT, b"under way"))
        user.socket.close(4500, "replaced")
        user.socket.write(b"too late")

        assert await it.close_code() == 4500
        it.send(client_frame(CLOSE, (4500).to_bytes(2, "big")))
        assert await it.end() == b""
        assert (heard, user.closed_with) == ([b"under way"], [4500])


@on_uvloop
async def test_a_peer_that_does_not_answer_a_close_is_cut() -> None:
    async with echo_server(HURRIED) as server, websocket(server.port) as it:
        user = await user_of(server)
        user.socket.close(4500, "replaced")

        assert await it.close_code() == 4500
        assert await it.end() == b""
        await until(lambda: user.closed_with == [1006])


@on_uvloop
async def test_a_peer_that_closes_without_reading_what_was_written_is_cut() -> None:
    async with echo_server(HURRIED) as server, websocket(server.port) as it:
        user = await user_of(server)
        user.socket.write(b"\x82\x7f" + (50_000_000).to_bytes(8, "big") + bytes(50_000_000))
        it.send(client_frame(CLOSE))

        await until(lambda: protocol_of(user).transport.get_write_buffer_size() == 0)
        assert user.closed_with == [1005]


@pytest.mark.parametrize("linger", [b"", b"\x01\x00\x00\x00\x00\x00\x00\x00"])
@on_uvloop
async def test_a_connection_that_ends_without_a_close_frame_is_1006(linger: bytes) -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        user = await user_of(server)
        if linger:  # SO_LINGER of no seconds: closing resets
            it.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        it.writer.close()

        await until(lambda: user.closed_with == [1006])
        user.socket.write(b"nobody there")
        user.socket.close(1000, "nobody there")
        assert user.closed_with == [1006]


@pytest.mark.parametrize("is_half_closed", [False, True])
@on_uvloop
async def test_who_leaves_before_he_is_let_in_is_not_waited_for(is_half_closed: bool) -> None:
    async with echo_server(LIMITS) as server:
        server.may_attach.clear()
        async with wire(server.port) as it:
            it.send(upgrade_request("/echo"))
            await user_of(server)
            if is_half_closed:
                it.writer.write_eof()
            else:
                it.writer.close()
            await until(lambda: server.given_up == 1)


@on_uvloop
async def test_what_came_before_the_endpoint_attached_comes_first_and_in_order() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        server.may_attach.clear()
        it.send(upgrade_request("/echo") + client_frame(TEXT, b"0"))
        texts = [b"%d" % n for n in range(1, 20_000)]  # more than is kept: TCP holds the rest
        it.send(b"".join(client_frame(TEXT, text) for text in texts))
        transport = protocol_of(await user_of(server)).transport
        await until(lambda: not transport.is_reading())
        server.may_attach.set()
        await it.http_answer()

        assert [await it.frame() for _ in range(20_000)] == [(TEXT, b"0"), *((TEXT, t) for t in texts)]


@on_uvloop
async def test_a_user_that_pauses_gets_the_rest_in_order_when_it_resumes() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        user = await user_of(server)
        user.socket.pause_reading()
        texts = [b"%d" % n for n in range(3000)]
        it.send(b"".join(client_frame(TEXT, text) for text in texts))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(it.reader.read(1), 0.2)

        user.socket.resume_reading()

        assert [await it.frame() for _ in texts] == [(TEXT, text) for text in texts]


@on_uvloop
async def test_a_flood_of_one_connection_leaves_the_others_their_turns() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as flood, websocket(server.port) as it:
        user = await user_of(server)
        frames, taken = 50_000, 0

        def count(payload: bytes) -> None:
            nonlocal taken
            taken += 1

        user.on_text = count  # type: ignore[method-assign]
        flood.send(client_frame(TEXT) * frames)
        await until(lambda: taken > 0)
        it.send(client_frame(TEXT, b"me too"))

        assert await it.frame() == (TEXT, b"me too")
        assert taken < frames
        await until(lambda: taken == frames)


@on_uvloop
async def test_pings_with_unread_pongs_take_no_memory_and_the_last_one_is_answered() -> None:
    async with echo_server(LIMITS) as server:
        with closing(unread_socket(server.port)) as device:
            user = await user_of(server)
            sent = await flood_with_pings(device, until_unwritable=protocol_of(user))

            assert protocol_of(user).transport.get_write_buffer_size() < 3 * 65536
            reader, writer = await asyncio.open_connection(sock=device)
            it = Wire(reader, writer)
            await it.http_answer()
            while (await it.frame()) != (PONG, sent):
                pass
            writer.close()


def unread_socket(port: int) -> socket.socket:
    """A WebSocket with a small buffer, of which nobody reads."""
    device = socket.socket()
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    device.connect(("127.0.0.1", port))
    device.sendall(upgrade_request("/echo"))
    device.setblocking(False)
    return device


async def flood_with_pings(device: socket.socket, until_unwritable: WebSocketProtocol) -> bytes:
    """Until the pongs have filled every buffer, and 10,000 more; the last one's payload."""
    loop, number = asyncio.get_running_loop(), 0
    left = 10
    while left:
        pings = [client_frame(PING, b"%0100d" % (number + n)) for n in range(1000)]
        await loop.sock_sendall(device, b"".join(pings))
        number += 1000
        left -= not until_unwritable.is_writable
    return b"%0100d" % (number - 1)


@on_uvloop
async def test_a_pong_that_is_owed_is_not_sent_behind_a_close_frame() -> None:
    async with echo_server(LIMITS) as server:
        with closing(unread_socket(server.port)) as device:
            user = await user_of(server)
            await flood_with_pings(device, until_unwritable=protocol_of(user))
            user.socket.close(4002, "too slow")
            reader, writer = await asyncio.open_connection(sock=device)
            it = Wire(reader, writer)
            await it.http_answer()

            assert await it.close_code() == 4002
            it.send(client_frame(CLOSE))
            assert await it.end() == b""
            writer.close()


@on_uvloop
async def test_a_peer_that_does_not_read_makes_its_socket_unwritable_and_the_end_of_that_is_told() -> None:
    async with echo_server(LIMITS) as server, websocket(server.port) as it:
        user, told = await user_of(server), list[bool]()
        user.on_writable = lambda: told.append(user.socket.is_writable)  # type: ignore[method-assign]
        size = 20_000_000
        user.socket.write(b"\x82\x7f" + size.to_bytes(8, "big") + bytes(size))
        assert not user.socket.is_writable

        assert await it.frame() == (BINARY, bytes(size))

        assert told == [True]


@on_uvloop
async def test_a_connection_that_is_gone_leaves_nothing_that_only_the_collector_frees() -> None:
    async with echo_server(LIMITS) as server:
        gc.collect()
        gc.disable()
        try:
            for ending in (client_frame(CLOSE), client_frame(3), b"") * 5:
                async with websocket(server.port) as it:
                    it.send(client_frame(TEXT, b"x"))
                    await it.frame()
                    it.send(ending)
            server.users.clear()
            await until(lambda: not any(isinstance(o, WebSocketProtocol) for o in gc.get_objects()))
        finally:
            gc.enable()
