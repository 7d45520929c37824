"""An answer that one node writes is seen on all, whoever joins, cancels or dies meanwhile."""

import asyncio
import time
from typing import Any

from server.core.model import FRAME_FAILED
from server.protocol import Finish
from server.runtime.answers.streams import Stream, StreamConfig
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.device import CONVERSATION
from tests.support.nodes import NODE_TTL, StageNode, die, nodes
from tests.support.stage import StageDevice
from tests.support.tcp_proxy import tcp_proxy
from tests.support.valkey_server import ValkeyServer

AT_ONCE = {"streams": StreamConfig(0.0)}


def opened(stage: StageNode, message_id: str = "a1") -> Stream:
    room = stage.manager.room(CONVERSATION)
    assert room is not None
    stream = stage.node.streams.open(room, message_id)
    assert stream is not None
    return stream


def chunks(device: StageDevice, message_id: str = "a1") -> list[dict[str, Any]]:
    frames = device.socket.frames
    return [f["data"] for f in frames if f["type"] == "AI_RESPONSE_CHUNK" and f["message_id"] == message_id]


def text_of(device: StageDevice, message_id: str = "a1") -> str:
    """What its pieces come to: each has to follow on what is there."""
    text = ""
    for chunk in chunks(device, message_id):
        if chunk.get("aborted"):
            text = ""
        else:
            assert chunk["offset"] == len(text), chunks(device, message_id)
            text += chunk["text"]
    return text


def whole(device: StageDevice) -> list[tuple[str, str, str | None]]:
    frames = device.socket.frames
    return [(f["message_id"], f["data"], f.get("finish")) for f in frames if f["type"] == "AI_RESPONSE"]


def is_aborted(device: StageDevice, message_id: str = "a1") -> bool:
    return chunks(device, message_id)[-1:] == [{"aborted": True}]


@asynchronous
async def test_the_pieces_are_shown_on_all_nodes_and_then_the_whole(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        stream = opened(one)
        for piece in ("Hel", "lo, ", "you 👋"):
            assert stream.write(piece)
            await asyncio.sleep(0.01)
        await until(lambda: text_of(laptop) == "Hello, you 👋")
        assert chunks(laptop) == chunks(phone)
        assert stream.end()
        await until(lambda: whole(laptop) == [("a1", "Hello, you 👋", None)])
        assert not is_aborted(laptop)


@asynchronous
async def test_who_joins_in_the_middle_on_another_node_gets_all_so_far_and_what_follows_on_it(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        stream = opened(one)
        stream.write("Hello, ")
        laptop = await two.join("laptop")  # the first of its node
        await until(lambda: text_of(laptop) == "Hello, ")
        stream.write("you")
        await until(lambda: text_of(laptop) == "Hello, you")
        tablet = await two.join("tablet")  # its node has heard it all
        assert chunks(tablet) == [{"text": "Hello, you", "index": 1, "offset": 0}]
        stream.write("!")
        await until(lambda: text_of(tablet) == text_of(laptop) == "Hello, you!")
        stream.end()
        await until(lambda: len(whole(tablet)) == len(whole(laptop)) == 1)
        late = await two.join("late")
        assert not chunks(late)


@asynchronous
async def test_an_abort_takes_the_answer_back_on_all_nodes(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        stream = opened(one)
        stream.write("Hel")
        await until(lambda: text_of(laptop) == "Hel")
        stream.abort(FRAME_FAILED)
        await until(lambda: is_aborted(laptop))
        assert len(chunks(laptop)) == 2
        assert not chunks(await two.join("late"))


@asynchronous
async def test_an_answer_is_cancelled_from_another_node_and_what_was_shown_is_saved(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        for number, data in enumerate(({"message_id": "a0"}, {})):
            stream = opened(one, f"a{number}")
            stream.write("Hello")
            await until(lambda: text_of(laptop, f"a{number}") == "Hello")  # noqa: B023
            laptop.send({"type": "CANCEL_RESPONSE", "message_id": f"c{number}", "data": data})
            await until(lambda: len(laptop.answers) == number + 1)  # noqa: B023
            assert laptop.answers[-1]["type"] == "ACK"
            await until(lambda: len(whole(phone)) == len(whole(laptop)) == number + 1)  # noqa: B023
            assert whole(laptop)[-1] == (f"a{number}", "Hello", Finish.CANCELLED)


@asynchronous
async def test_a_cancel_of_nothing_is_refused_once_all_nodes_have_said_so(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        await until(lambda: len(two.members.alive) == 2)
        laptop.send({"type": "CANCEL_RESPONSE", "message_id": "c1"})
        await until(lambda: bool(laptop.answers), 1)
        assert laptop.answers[0]["error"]["code"] == "validation_failed"


@asynchronous
async def test_a_cancel_that_a_node_does_not_answer_is_told_within_two_seconds(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        urls = valkey.url(), valkey.url(proxy.port)
        async with nodes(MemoryStore(), *urls, **AT_ONCE, node_ttl=30.0) as (one, two):
            laptop = await one.join("laptop")
            await until(lambda: len(one.members.alive) == 2)
            proxy.delay(10.0)
            began = time.monotonic()
            laptop.send({"type": "CANCEL_RESPONSE", "message_id": "c1"})
            await until(lambda: bool(laptop.answers))
            assert time.monotonic() - began < 2
            assert laptop.answers[0]["error"] == {"code": "internal_error", "retryable": True}
            proxy.delay(0.0)
            assert two.members.alive


@asynchronous
async def test_an_answer_whose_node_dies_is_taken_back_everywhere_else(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        laptop = await two.join("laptop")
        await one.join("phone")
        opened(one).write("Hel")
        await until(lambda: text_of(laptop) == "Hel")
        await die(one)
        began = time.monotonic()
        await until(lambda: is_aborted(laptop))
        assert time.monotonic() - began < NODE_TTL + 2.5
        assert not chunks(await two.join("late"))


@asynchronous
async def test_an_answer_that_was_saved_before_its_node_died_is_not_taken_back(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        laptop = await two.join("laptop")
        await one.join("phone")
        stream = opened(one)
        stream.write("Hello")
        await until(lambda: text_of(laptop) == "Hello")
        one.backplane.loses = True
        stream.end()
        await stream.ended
        await die(one)
        await until(lambda: whole(laptop) == [("a1", "Hello", None)])
        await asyncio.sleep(NODE_TTL + 1.5)
        assert not is_aborted(laptop)


@asynchronous
async def test_a_lost_piece_is_made_good_by_the_next_one(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        stream = opened(one)
        stream.write("one ")
        await until(lambda: text_of(laptop) == "one ")
        await asyncio.sleep(0.3)
        one.backplane.loses = True
        stream.write("two ")
        one.backplane.loses = False
        stream.write("three")
        await until(lambda: text_of(laptop) == "one two three")


@asynchronous
async def test_an_answer_goes_on_over_a_restart_of_the_backplane(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        kept, ended = opened(one, "kept"), opened(one, "ended")
        kept.write("one ")
        ended.write("whole")
        await until(lambda: text_of(laptop, "kept") == "one " and text_of(laptop, "ended") == "whole")
        valkey.stop()
        await until(lambda: not one.backplane.is_connected and not two.backplane.is_connected)
        kept.write("two ")
        ended.end()
        await ended.ended
        valkey.start()
        await until(lambda: whole(laptop) == [("ended", "whole", None)])
        kept.write("three")
        await until(lambda: text_of(laptop, "kept") == "one two three")
        await asyncio.sleep(1.5)
        assert not is_aborted(laptop, "ended") and not is_aborted(laptop, "kept")
        assert {"aborted": True} not in chunks(laptop, "kept")


@asynchronous
async def test_a_flush_of_the_registry_takes_no_answer_back(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        stream = opened(one)
        stream.write("one ")
        await until(lambda: text_of(laptop) == "one ")
        valkey.flush()
        await asyncio.sleep(NODE_TTL + 1.5)
        stream.write("two")
        await until(lambda: text_of(laptop) == "one two")
        assert {"aborted": True} not in chunks(laptop)


@asynchronous
async def test_a_whole_answer_on_another_node_silences_the_one_that_is_written_under_its_id(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        stream = opened(one)
        stream.write("Hel")
        await until(lambda: text_of(laptop) == "Hel")
        room = two.manager.hold(CONVERSATION)
        await two.node.speech.say(room, "a1", "All of it")
        two.manager.release(room)
        await until(lambda: len(whole(phone)) == len(whole(laptop)) == 1)
        stream.write("lo")
        stream.end()
        await stream.ended
        await asyncio.sleep(0.1)
        for device in (phone, laptop):
            assert whole(device) == [("a1", "All of it", None)]
            assert [c["text"] for c in chunks(device) if "text" in c] == ["Hel"]
            types = [f["type"] for f in device.socket.frames if f["message_id"] == "a1"]
            assert types[-1] == "AI_RESPONSE", types


@asynchronous
async def test_of_two_answers_under_one_id_each_device_sees_one_at_a_time(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), *[valkey.url()] * 3, **AT_ONCE) as (one, two, three):
        phone, laptop, tablet = [await stage.join(f"d{n}") for n, stage in enumerate((one, two, three))]
        first, second = opened(one), opened(two)
        first.write("First")
        await until(lambda: text_of(tablet) == "First")
        room = three.manager.room(CONVERSATION)
        assert room is not None and three.node.streams.open(room, "a1") is None
        second.write("Second")
        await asyncio.sleep(0.05)
        assert (text_of(phone), text_of(laptop), text_of(tablet)) == ("First", "Second", "First")
        first.abort(FRAME_FAILED)
        await until(lambda: text_of(phone) == "Second")
        second.write(", really")
        await until(lambda: {text_of(d) for d in (phone, laptop, tablet)} == {"Second, really"})


@asynchronous
async def test_a_node_that_was_stopped_for_long_takes_back_what_it_wrote(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), **AT_ONCE) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        stream = opened(one)
        stream.write("Hel")
        await until(lambda: text_of(laptop) == "Hel")
        time.sleep(NODE_TTL + 0.3)  # noqa: ASYNC251 - all of this process stands still
        await until(lambda: is_aborted(phone) and is_aborted(laptop))
        assert not stream.write("lo")
