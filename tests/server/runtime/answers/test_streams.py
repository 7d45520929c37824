"""One answer that is being written: what devices see of it, how it ends, and who decides that."""

import asyncio
import itertools
from typing import Any

import pytest

from server.core.model import CONVERSATION_GONE, SHUTTING_DOWN, Refused
from server.protocol import ErrorCode, Finish
from server.runtime.answers.streams import Ended, Stream, StreamConfig
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import CONVERSATION
from tests.support.stage import Stage, StageDevice, turns

ROLLUP = 0.03


async def begun(rollup: float = 0.0, **config: Any) -> tuple[Stage, StageDevice, Stream]:
    """A device, and an answer that begins in its conversation."""
    stage = Stage(MemoryStore(), streams=StreamConfig(rollup, **config))
    device = await stage.join("phone")
    return stage, device, opened(stage)


def opened(stage: Stage, message_id: str = "a1") -> Stream:
    room = stage.manager.room(CONVERSATION)
    assert room is not None
    stream = stage.node.streams.open(room, message_id)
    assert stream is not None
    return stream


def chunks(device: StageDevice, message_id: str = "a1") -> list[dict[str, Any]]:
    frames = device.socket.frames
    return [f["data"] for f in frames if f["type"] == "AI_RESPONSE_CHUNK" and f["message_id"] == message_id]


def whole(device: StageDevice) -> list[dict[str, Any]]:
    return [f for f in device.socket.frames if f["type"] == "AI_RESPONSE"]


@asynchronous
async def test_the_pieces_come_in_order_and_the_whole_is_saved_at_the_end() -> None:
    stage, device, stream = await begun()
    for text in ("Hel", "lo, ", "you 👋"):
        assert stream.write(text)
    assert stream.end()
    ended = await stream.ended
    await stage.settle()
    assert isinstance(ended, Ended)
    assert ended.spoken is not None
    assert ended.spoken.seq == 1
    assert chunks(device) == [
        {"text": "Hel", "index": 0, "offset": 0},
        {"text": "lo, ", "index": 1, "offset": 3},
        {"text": "you 👋", "index": 2, "offset": 7},
    ]
    assert [(f["data"], f["seq"], f["message_id"], f.get("finish")) for f in whole(device)] == [
        ("Hello, you 👋", 1, "a1", None)
    ]


@asynchronous
async def test_the_first_piece_goes_out_at_once_and_later_ones_are_joined_within_the_rollup() -> None:
    _, device, stream = await begun(ROLLUP)
    stream.write("one ")
    await turns(2)
    assert [c["text"] for c in chunks(device)] == ["one "]
    stream.write("two ")
    stream.write("three")
    await turns(2)
    assert len(chunks(device)) == 1
    await asyncio.sleep(2 * ROLLUP)
    assert chunks(device)[1:] == [{"text": "two three", "index": 2, "offset": 4}]


@asynchronous
async def test_who_joins_in_the_middle_gets_all_so_far_and_what_follows_on_it() -> None:
    stage, _, stream = await begun()
    stream.write("one ")
    stream.write("two ")
    late = await stage.join("tablet")
    stream.write("three")
    await turns(2)
    assert chunks(late) == [
        {"text": "one two ", "index": 1, "offset": 0},
        {"text": "three", "index": 2, "offset": 8},
    ]


@asynchronous
async def test_who_joins_while_pieces_wait_gets_them_once() -> None:
    stage, _, stream = await begun(ROLLUP)
    stream.write("one ")
    stream.write("two ")
    late = await stage.join("tablet")
    await asyncio.sleep(2 * ROLLUP)
    assert chunks(late) == [
        {"text": "one ", "index": 0, "offset": 0},
        {"text": "two ", "index": 1, "offset": 4},
    ]


@asynchronous
async def test_a_device_that_reads_nothing_gets_the_pieces_as_one_and_every_message() -> None:
    stage = Stage(MemoryStore(), send_queue=8, streams=StreamConfig(0.0))
    slow, writer = await stage.join("slow"), await stage.join("writer")
    slow.socket.is_writable = False
    stream = opened(stage)
    for number in range(50):
        stream.write(f"{number} ")
        if number % 10 == 0:
            writer.say(f"m{number}")
        await stage.settle()
    stream.end()
    await stage.settle()
    assert slow.connection.close_code is None
    slow.socket.is_writable = True
    slow.connection.on_writable()
    text = ""
    for chunk in chunks(slow):
        assert chunk["offset"] == len(text)
        text += chunk["text"]
    assert text == whole(slow)[0]["data"] == "".join(f"{n} " for n in range(50))
    assert slow.seen == [1, 2, 3, 4, 5, 6]


@asynchronous
async def test_a_cancelled_answer_is_saved_as_far_as_it_was_shown() -> None:
    stage, device, stream = await begun(ROLLUP)
    stream.write("shown ")
    stream.write("waits")
    assert stream.cancel()
    assert not stream.write("more")
    ended = await stream.ended
    await asyncio.sleep(2 * ROLLUP)
    await stage.settle()
    assert isinstance(ended, Ended)
    assert ended.finish is Finish.CANCELLED
    assert [c["text"] for c in chunks(device)] == ["shown "]
    assert [(f["data"], f["finish"]) for f in whole(device)] == [("shown ", "cancelled")]


@asynchronous
async def test_cancelled_before_its_first_text_it_is_aborted_and_nothing_is_saved() -> None:
    stage, device, stream = await begun()
    assert stream.cancel()
    assert await stream.ended == Ended(None, Finish.CANCELLED)
    await stage.settle()
    assert chunks(device) == [{"aborted": True}]
    assert whole(device) == []


@asynchronous
async def test_of_cancel_and_end_exactly_one_wins_in_whatever_order_they_come() -> None:
    stage, device, _ = await begun()
    for number in range(1000):
        stream = opened(stage, f"s{number}")
        stream.write("text")
        calls = [stream.cancel, stream.end] if number % 2 else [stream.end, stream.cancel]
        asyncio.get_running_loop().call_soon(calls[0])
        asyncio.get_running_loop().call_soon(calls[1])
        ended = await stream.ended
        assert isinstance(ended, Ended)
        assert ended.finish == (Finish.CANCELLED if number % 2 else None)
        assert not stream.cancel()
        assert not stream.end()
    await stage.settle()
    finishes = [f.get("finish") for f in whole(device)]
    assert finishes == list(itertools.islice(itertools.cycle([None, "cancelled"]), 1000))


@asynchronous
async def test_any_device_can_cancel_by_id_or_whatever_is_written_and_only_once() -> None:
    stage, device, stream = await begun()
    other = await stage.join("tablet")
    stream.write("text")
    second = opened(stage, "a2")
    for message_id, data in (
        ("c1", {"message_id": "a1"}),
        ("c2", {"message_id": "a1"}),
        ("c3", {}),
        ("c4", None),
    ):
        other.send({"type": "CANCEL_RESPONSE", "message_id": message_id, "data": data})
    await stage.settle()
    answers = [(f["type"], f["message_id"], f.get("error", {}).get("code")) for f in other.answers]
    assert answers == [
        ("ACK", "c1", None),
        ("NACK", "c2", "validation_failed"),
        ("ACK", "c3", None),
        ("NACK", "c4", "validation_failed"),
    ]
    assert not second.is_open
    assert [f["finish"] for f in whole(device)] == ["cancelled"]


@asynchronous
async def test_an_aborted_answer_is_taken_back_and_its_id_is_free_again() -> None:
    stage, device, stream = await begun()
    stream.write("text")
    assert stream.abort(SHUTTING_DOWN)
    assert await stream.ended == SHUTTING_DOWN
    await stage.settle()
    assert chunks(device)[-1] == {"aborted": True}
    assert whole(device) == []
    again = opened(stage)
    again.write("other")
    again.end()
    await stage.settle()
    assert [f["data"] for f in whole(device)] == ["other"]


@asynchronous
async def test_an_end_without_any_text_is_an_empty_message() -> None:
    _, device, stream = await begun()
    assert stream.end()
    ended = await stream.ended
    assert isinstance(ended, Refused)
    assert ended.code is ErrorCode.EMPTY_MESSAGE
    await turns(2)
    assert chunks(device) == []


@asynchronous
async def test_text_beyond_the_limit_is_refused_and_what_fits_is_kept() -> None:
    stage, device, stream = await begun(max_length=5)
    assert not stream.write("much too long")
    assert stream.is_open
    stream.end(Finish.LENGTH)
    await stage.settle()
    assert [(f["data"], f["finish"]) for f in whole(device)] == [("much ", "length")]


@asynchronous
async def test_while_one_is_written_nobody_else_writes_under_its_id() -> None:
    stage, _, stream = await begun()
    assert stage.node.streams.open(stream.room, "a1") is None
    assert stage.node.streams.count == 1
    stream.abort(SHUTTING_DOWN)
    assert stage.node.streams.count == 0
    assert stage.node.streams.open(stream.room, "a1") is not None


@asynchronous
async def test_the_ais_typing_ends_before_the_first_piece() -> None:
    stage, device, stream = await begun()
    stage.node.typing.indicate_ai(stream.room, True)
    stream.write("text")
    await turns(2)
    types = [f["type"] for f in device.socket.frames]
    typing = [f["data"]["is_typing"] for f in device.socket.frames if f["type"] == "TYPING_INDICATOR"]
    assert typing == [True, False]
    assert types[-2:] == ["TYPING_INDICATOR", "AI_RESPONSE_CHUNK"]


@asynchronous
async def test_writing_into_a_conversation_that_is_deleted_ends_at_once() -> None:
    stage, _, stream = await begun()
    stream.write("text")
    await stage.conversations.delete([CONVERSATION])
    assert not stream.write("more")
    assert await stream.ended == CONVERSATION_GONE
    assert stage.manager.room(CONVERSATION) is None


@asynchronous
async def test_of_two_streams_and_a_message_beside_them_each_is_saved_at_its_own_end() -> None:
    stage, device, first = await begun()
    second = opened(stage, "a2")
    first.write("1")
    second.write("2")
    spoken = await stage.node.speech.say(first.room, "m", "between")
    second.end()
    await second.ended
    first.end()
    await first.ended
    await stage.settle()
    assert not isinstance(spoken, Refused)
    assert [(f["message_id"], f["seq"]) for f in whole(device)] == [("m", 1), ("a2", 2), ("a1", 3)]


@asynchronous
@pytest.mark.parametrize("keeps_part", [False, True])
async def test_what_breaks_off_is_taken_back_or_saved_as_its_writer_wished(keeps_part: bool) -> None:
    stage, device, _ = await begun()
    room = stage.manager.room(CONVERSATION)
    assert room is not None
    stream = stage.node.streams.open(room, "part", keeps_part=keeps_part)
    assert stream is not None
    stream.write("a part")
    stage.node.streams.break_off_all(SHUTTING_DOWN)
    await stream.ended
    await stage.settle()
    assert [(f["data"], f["finish"]) for f in whole(device)] == (
        [("a part", "incomplete")] if keeps_part else []
    )
