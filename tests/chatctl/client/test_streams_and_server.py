"""Answers that stream, from `chatctl serve` itself to several devices of the asyncio client."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatctl.client.aio import ChatClient
from chatctl.client.backoff import Backoff
from chatctl.client.errors import MessageRefused
from chatctl.client.events import Chunk, Event, Message, Misplaced, Unreadable
from tests.support.asynchronous import asynchronous
from tests.support.server import RunningServer, running_server
from tests.support.tcp_proxy import tcp_proxy

QUICK = Backoff(base=0.02, cap=0.1)
WORDS = [f"\U0001f600 {number} " for number in range(60)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {"rate_limit__enabled": False, "ai__stream_rollup": 5}
    with running_server(tmp_path_factory.mktemp("server"), **settings) as it:
        yield it


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A conversation of the test's own."""
    return re.sub(r"\W", ".", f"{request.node.name}.ai_alex")[-128:]


class Device:
    """Keeps what its client reports, and can wait until something has been reported."""

    def __init__(self, url: str, room: str, client_id: str) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self.chat = ChatClient(url, "kai", room, client_id=client_id, backoff=QUICK, on_event=self._note)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def __aenter__(self) -> "Device":
        await self.chat.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.chat.close()

    async def until(self, happened: Callable[["Device"], Any]) -> None:
        async with asyncio.timeout(10.0):
            while not happened(self):
                self._news.clear()
                await self._news.wait()

    @property
    def texts(self) -> list[str]:
        return [event.so_far for event in self.events if isinstance(event, Chunk) and not event.aborted]

    @property
    def answers(self) -> list[tuple[str, str | None]]:
        return [(event.frame["data"], event.finish) for event in self.events if isinstance(event, Message)]

    def assert_faultless(self, whole: str) -> None:
        assert not [event for event in self.events if isinstance(event, Misplaced | Unreadable)]
        assert [text for text in self.texts if not whole.startswith(text)] == []


def has_shown_more_than(count: int, device: Device) -> bool:
    return len(device.texts) > count


async def speak(server: RunningServer, room: str, words: AsyncIterator[str]) -> dict[str, Any]:
    """Streams an answer as an AI service does; returns what the server answers at its end."""

    async def body() -> AsyncIterator[bytes]:
        async for word in words:
            yield word.encode()

    async with httpx2.AsyncClient(trust_env=False) as http:
        done = await http.post(
            f"{server.url}/api/stream-ai-message",
            params={"conversation_id": room},
            headers={"Content-Type": "text/plain"},
            content=body(),
        )
        answer: dict[str, Any] = done.json()
        return answer


async def word_by_word(pause: float = 0.01) -> AsyncIterator[str]:
    for word in WORDS:
        yield word
        await asyncio.sleep(pause)


async def on_and_on(enough: asyncio.Event) -> AsyncIterator[str]:
    while not enough.is_set():
        yield "on and "
        await asyncio.sleep(0.01)


@asynchronous
async def test_each_device_shows_the_answer_as_it_grows_though_one_is_cut_off_and_one_comes_late(
    server: RunningServer, room: str
) -> None:
    whole = "".join(WORDS)
    async with AsyncExitStack() as stack:
        proxy = stack.enter_context(tcp_proxy(server.port))
        phone = await stack.enter_async_context(Device(server.url, room, "phone"))
        shaky = Device(f"http://127.0.0.1:{proxy.port}", room, "tablet")
        tablet = await stack.enter_async_context(shaky)
        speaking = asyncio.create_task(speak(server, room, word_by_word()))
        for _ in range(3):
            await tablet.until(partial(has_shown_more_than, len(tablet.texts)))
            proxy.cut()
        async with Device(server.url, room, "desk") as desk:
            for device in (phone, tablet, desk):
                await device.until(lambda device: device.answers)
                device.assert_faultless(whole)
                assert device.answers == [(whole, None)]
        assert len(phone.texts) > 5
        assert len(desk.texts[0]) > len(phone.texts[0])  # all that had been written before it came
        assert (await speaking)["type"] == "ACK"


@pytest.mark.parametrize("by_id", [True, False])
@asynchronous
async def test_any_device_stops_an_answer_and_what_was_shown_is_what_is_saved(
    server: RunningServer, room: str, by_id: bool
) -> None:
    async with Device(server.url, room, "phone") as phone, Device(server.url, room, "tablet") as tablet:
        enough = asyncio.Event()
        speaking = asyncio.create_task(speak(server, room, on_and_on(enough)))
        await phone.until(lambda device: len(device.texts) >= 3)
        message_id = next(event.message_id for event in phone.events if isinstance(event, Chunk))

        assert (await tablet.chat.cancel_response(message_id if by_id else None)).seq is None

        for device in (phone, tablet):
            await device.until(lambda device: device.answers)
            ((saved, finish),) = device.answers
            assert finish == "cancelled"
            assert device.texts[-1] == saved
            device.assert_faultless(saved)
        enough.set()
        assert (await speaking)["finish"] == "cancelled"


@asynchronous
async def test_where_there_is_nothing_to_stop_a_cancel_is_refused(server: RunningServer, room: str) -> None:
    async with Device(server.url, room, "phone") as phone:
        with pytest.raises(MessageRefused) as raised:
            await phone.chat.cancel_response()
    assert raised.value.code == "validation_failed"


@asynchronous
async def test_after_a_kill_nothing_more_is_told_of_what_nobody_writes(tmp_path: Path, room: str) -> None:
    with running_server(tmp_path, ai__stream_rollup=0) as server:
        async with Device(server.url, room, "phone") as phone:
            speaking = asyncio.create_task(speak(server, room, on_and_on(asyncio.Event())))
            await phone.until(lambda device: len(device.texts) >= 3)
            server.kill()
            with pytest.raises(httpx2.HTTPError):
                await speaking
            with running_server(tmp_path, server__port=server.port) as again:
                shown = len(phone.texts)
                await phone.chat.send("still there?")
                await speak(again, room, word_by_word(0.0))
                await phone.until(lambda device: len(device.answers) == 2)
                phone_texts = phone.texts[shown:]
                assert [text for text in phone_texts if not "".join(WORDS).startswith(text)] == []


@asynchronous
async def test_an_answer_is_stopped_before_its_first_word_and_its_turn_counts_as_answered(
    tmp_path: Path, room: str
) -> None:
    settings = {"ai__responder": "demo", "ai__typing_delay": "[1.0, 1.0]", "ai__turn_wait": 0.05}
    with running_server(tmp_path, **settings) as server:
        async with Device(server.url, room, "phone") as phone, Device(server.url, room, "tablet") as tablet:
            await phone.chat.send("What do you do all day?")
            await tablet.chat.cancel_response()
            for device in (phone, tablet):
                await device.until(has_been_told_of_an_abort)

            await phone.chat.send("And all night?")
            await phone.until(lambda device: len(device.answers) == 3)

            assert [text for text, _ in phone.answers[:2]] == ["What do you do all day?", "And all night?"]
            assert len(phone.texts) > 1  # word by word
            phone.assert_faultless(phone.answers[2][0])
            await asyncio.sleep(0.5)
            assert len(phone.answers) == 3


def has_been_told_of_an_abort(device: Device) -> bool:
    return any(isinstance(event, Chunk) and event.aborted for event in device.events)
