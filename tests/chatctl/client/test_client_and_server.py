"""The asyncio client against `chatctl serve` itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect

from chatctl.client.aio import ChatClient
from chatctl.client.backoff import Backoff
from chatctl.client.errors import MessageRefused, SessionEnded
from chatctl.client.events import Delivered, Ended, Event, Message, Reconnecting, Welcomed
from tests.support.asynchronous import asynchronous
from tests.support.server import RunningServer, running_server

QUICK = Backoff(base=0.05, cap=0.2, full_server=0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), rate_limit__enabled=False) as it:
        yield it


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A conversation of the test's own."""
    return f"{request.node.name}.ai_alex"[-128:]


def device(server: RunningServer, room: str, client_id: str, **options: Any) -> ChatClient:
    return ChatClient(server.url, "kai", room, **{"client_id": client_id, "backoff": QUICK, **options})


async def texts(client: ChatClient, count: int) -> list[str]:
    """Of the next `count` messages."""
    found: list[str] = []
    async for event in client:
        if isinstance(event, Message):
            found.append(event.frame["data"])
        if len(found) == count:
            break
    return found


async def first(client: ChatClient, kind: type[Event]) -> Event:
    async for event in client:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events ended")


@asynccontextmanager
async def cut_proxy(server: RunningServer) -> AsyncIterator[tuple[str, Any]]:
    """An address that leads to the server, and a function that resets all connections through it."""
    writers: set[asyncio.StreamWriter] = set()
    relays: set[asyncio.Task[Any] | None] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.update((writer, far_writer))
        with suppress(OSError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()
        writers.clear()

    listening = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", cut
        cut()
        await asyncio.gather(*(relay for relay in relays if relay))


@asynchronous
async def test_what_one_device_sends_comes_to_both(server: RunningServer, room: str) -> None:
    async with device(server, room, "phone") as phone, device(server, room, "laptop") as laptop:
        delivered = await phone.send("hello")

        assert delivered.seq == 1
        assert await texts(phone, 1) == ["hello"]
        assert await texts(laptop, 1) == ["hello"]


@asynchronous
async def test_a_refused_message_says_why(server: RunningServer, room: str) -> None:
    async with device(server, room, "phone") as phone:
        with pytest.raises(MessageRefused, match="cannot be empty") as raised:
            await phone.send("  ")

        assert raised.value.code == "empty_message"


@asynchronous
async def test_anothers_conversation_is_refused(server: RunningServer, room: str) -> None:
    async with device(server, room, "phone"):
        with pytest.raises(SessionEnded) as raised:
            await ChatClient(server.url, "eve", room).connect()

        assert raised.value.code == 1008


@asynchronous
async def test_the_same_client_id_replaces_and_the_replaced_one_stays_away(
    server: RunningServer, room: str
) -> None:
    async with device(server, room, "phone") as old, device(server, room, "phone") as new:
        ended = await first(old, Ended)

        assert isinstance(ended, Ended)
        assert ended.code == 4500
        assert (await new.send("still here")).seq == 1


@asynchronous
async def test_whatever_is_cut_off_every_message_is_saved_once_and_shown_once_in_order(
    server: RunningServer, room: str
) -> None:
    async with (
        cut_proxy(server) as (url, cut),
        ChatClient(url, "kai", room, client_id="phone", backoff=QUICK) as phone,
        device(server, room, "laptop") as laptop,
    ):
        sendings = []
        for number in range(25):
            sendings.append(phone.send(str(number)))
            await asyncio.sleep(0.01)
            if number % 5 == 4:
                cut()
        delivered = [await sending for sending in sendings]

        assert sorted(each.seq or 0 for each in delivered) == list(range(1, 26))
        expected = [each.message.data for each in sorted(delivered, key=lambda each: each.seq or 0)]
        assert await texts(laptop, 25) == expected
        assert await texts(phone, 25) == expected


@asynchronous
async def test_what_was_missed_beyond_the_replay_is_read_from_the_history(tmp_path: Path, room: str) -> None:
    with running_server(tmp_path, recovery__max_messages=3, rate_limit__enabled=False) as server:
        async with (
            cut_proxy(server) as (url, cut),
            ChatClient(url, "kai", room, client_id="phone", backoff=Backoff(base=1000, cap=1000)) as phone,
            device(server, room, "laptop") as laptop,
        ):
            await laptop.send("0")
            assert await texts(phone, 1) == ["0"]
            cut()
            await first(phone, Reconnecting)
            for number in range(1, 8):
                await laptop.send(str(number))
            phone.reconnect_now()
            await first(phone, Welcomed)
            await laptop.send("8")

            assert await texts(phone, 8) == [str(number) for number in range(1, 9)]


@asynchronous
async def test_a_message_typed_while_the_server_is_down_is_delivered_when_it_is_back(
    tmp_path: Path, room: str
) -> None:
    with running_server(tmp_path) as server:
        phone = device(server, room, "phone")
        await phone.connect()
        await phone.send("before")
        server.kill()
        sending = phone.send("meanwhile")
        with running_server(tmp_path, server__port=server.port):
            delivered = await sending

            assert isinstance(delivered, Delivered)
            assert delivered.seq == 2
            assert await texts(phone, 2) == ["before", "meanwhile"]
            await phone.close()


@asynchronous
async def test_a_bare_socket_of_the_same_user_reads_what_the_client_sent(
    server: RunningServer, room: str
) -> None:
    """The client's frames are those of the protocol, not merely ones that this package understands."""
    async with (
        connect(f"{server.websocket}/ws/kai?conversation_id={room}&client_id=bare") as bare,
        device(server, room, "phone") as phone,
    ):
        await phone.send("hello", message_id="m", timestamp="2026-11-23T04:00:00Z")
        while (frame := json.loads(await bare.recv()))["type"] != "CHAT_MESSAGE":
            pass

        assert (frame["message_id"], frame["data"], frame["sender"]) == ("m", "hello", "kai")


@asynchronous
async def test_a_token_is_replaced_when_it_expires_and_while_connected(tmp_path: Path, room: str) -> None:
    secret = "a secret of at least thirty-two bytes"

    def token(seconds: float) -> str:
        return jwt.encode({"sub": "kai", "exp": time.time() + seconds}, secret, "HS256")

    lifetimes = iter([2.0, 600.0])
    with running_server(tmp_path, auth__jwt_secret=secret) as server:
        phone = device(server, room, "phone", get_token=lambda: token(next(lifetimes)))
        async with phone:
            expired = await first(phone, Reconnecting)
            await first(phone, Welcomed)
            await phone.send("with the new one")
            await phone.refresh_token(token(700.0))

            assert isinstance(expired, Reconnecting)
            assert expired.code == 4003
            assert [frame["data"] for frame in await phone.history()] == ["with the new one"]
