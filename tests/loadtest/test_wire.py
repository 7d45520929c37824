"""The wire against the library's own server. It is made for gevent, and works without its patches as well."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

from loadtest.free_port import free_port
from loadtest.wire import Disconnected, Wire


@contextmanager
def serving(
    handler: Callable[[ServerConnection], Awaitable[None]], refuse_with: HTTPStatus | None = None
) -> Iterator[str]:
    loop, stop, address = asyncio.new_event_loop(), asyncio.Event(), []
    ready = threading.Event()

    def refuse(socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(refuse_with, "no") if refuse_with else None

    async def run() -> None:
        async with serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
            address.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    yield f"ws://127.0.0.1:{address[0]}/"
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


def test_sends_and_receives_text_with_the_headers_it_is_given() -> None:
    async def answer(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.send(socket.request.headers["Authorization"])
        await echo(socket)

    with serving(answer) as url:
        wire = Wire(url, {"Authorization": "Bearer x"})
        assert wire.receive() == [b"Bearer x"]
        wire.send("häh?")
        assert wire.receive() == ["häh?".encode()]
        wire.close()


def test_puts_fragments_together_and_answers_pings_meanwhile() -> None:
    async def in_pieces(socket: ServerConnection) -> None:
        await asyncio.wait_for(await socket.ping(), 5)
        await socket.send(iter(["one, ", "two, ", "three"]))
        await socket.wait_closed()

    with serving(in_pieces) as url:
        wire = Wire(url, {})
        assert wire.receive() == [b"one, two, three"]
        wire.close()


def test_messages_right_behind_the_handshake_are_not_missed() -> None:
    async def at_once(socket: ServerConnection) -> None:
        for number in range(50):
            await socket.send(str(number))
        await socket.wait_closed()

    with serving(at_once) as url:
        wire = Wire(url, {})
        received: list[bytes] = []
        while len(received) < 50:
            received += wire.receive()
        assert received == [str(number).encode() for number in range(50)]
        wire.close()


def test_tells_the_servers_close_code_and_reason_after_the_last_message() -> None:
    async def last_words(socket: ServerConnection) -> None:
        await socket.send("last words")
        await socket.close(4002, "too slow")

    with serving(last_words) as url:
        wire = Wire(url, {})
        assert wire.receive() == [b"last words"]
        with pytest.raises(Disconnected) as end:
            wire.receive()
        assert (end.value.code, end.value.reason) == (4002, "too slow")
        wire.send("too late")
        wire.release()


def test_a_cut_connection_is_lost_on_both_sides() -> None:
    lost = threading.Event()

    async def until_lost(socket: ServerConnection) -> None:
        await socket.wait_closed()
        assert socket.close_code == 1006
        lost.set()

    with serving(until_lost) as url:
        wire = Wire(url, {})
        wire.cut()
        with pytest.raises(Disconnected) as end:
            wire.receive()
        assert end.value.code == 1006
        assert lost.wait(5)
        wire.release()


def test_a_reset_connection_ends_by_rst_for_the_peer() -> None:
    causes: list[BaseException | None] = []
    lost = threading.Event()

    async def until_lost(socket: ServerConnection) -> None:
        with pytest.raises(ConnectionClosedError) as end:
            await socket.recv()
        causes.append(end.value.__cause__)
        lost.set()

    with serving(until_lost) as url:
        wire = Wire(url, {})
        wire.reset()
        with pytest.raises(Disconnected) as end:
            wire.receive()
        wire.release()
        assert end.value.code == 1006
        assert lost.wait(5)
    assert isinstance(causes[0], ConnectionResetError)


@pytest.mark.parametrize(
    ("status", "code"), [(HTTPStatus.SERVICE_UNAVAILABLE, 1013), (HTTPStatus.FORBIDDEN, 1008)]
)
def test_a_refused_handshake_is_the_close_code_it_amounts_to(status: HTTPStatus, code: int) -> None:
    with serving(echo, refuse_with=status) as url, pytest.raises(Disconnected) as end:
        Wire(url, {})
    assert (end.value.code, end.value.reason) == (code, f"HTTP {status}")


def test_no_server_is_a_lost_connection() -> None:
    with pytest.raises(Disconnected) as end:
        Wire(f"ws://127.0.0.1:{free_port()}/", {})
    assert end.value.code == 1006
