"""Protocol, sections 2 to 4: how each frame is answered, and what passes on of it."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.rate_limit import RateLimiter
from server.core.timestamps import DAY_MS, rfc3339
from server.protocol import CloseCode, is_identifier
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import MAX_INVALID_FRAMES, Stage, StageDevice, turns

WRONG_PING = {"type": "PING", "data": []}


async def _device(**settings: Any) -> StageDevice:
    return await Stage(MemoryStore(), **settings).join("phone")


async def _ask(device: StageDevice, frame: Any) -> dict[str, Any]:
    """The frame's answer."""
    device.send(frame)
    await turns(5)
    return device.answers[-1]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "HELLO"},
        {"type": "ACK", "data": "only the server says so"},
        {"type": "TYPING_INDICATOR", "conversation_id": "another", "data": {"is_typing": True}},
        {"type": "TYPING_INDICATOR", "data": {"is_typing": "yes"}},
        WRONG_PING,
    ],
)
@asynchronous
async def test_what_is_wrong_with_a_frame_without_message_id_is_an_invalid_frame(frame: Any) -> None:
    device = await _device()
    answer = await _ask(device, frame)
    assert (answer["type"], answer["error"]["code"]) == ("ERROR", "invalid_frame")
    nack = await _ask(device, frame | {"message_id": "m1"})
    assert (nack["type"], nack["message_id"]) == ("NACK", "m1")
    assert nack["error"]["code"] != "invalid_frame"


@pytest.mark.parametrize("frame", ["no object", {"type": "CHAT_MESSAGE"}, {"type": "HELLO"}, WRONG_PING])
@asynchronous
async def test_the_last_invalid_frame_in_a_row_gets_its_error_and_then_the_close_is_1007(frame: Any) -> None:
    device = await _device()
    for _ in range(MAX_INVALID_FRAMES):
        assert device.socket.closed is None
        device.send(frame)
    assert [answer["type"] for answer in device.answers] == ["ERROR"] * MAX_INVALID_FRAMES
    assert device.socket.closed == (CloseCode.INVALID_DATA, "10 invalid frames in a row")


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "CHAT_MESSAGE", "message_id": "m1", "data": ""},
        {"type": "HELLO", "message_id": "m1"},
        {"type": "TYPING_INDICATOR", "data": {"is_typing": False}},
        {"type": "PING"},
        {"type": "PONG"},
    ],
)
@asynchronous
async def test_a_frame_that_is_in_order_or_nacked_ends_the_row_of_invalid_frames(frame: Any) -> None:
    device = await _device()
    for _ in range(2):
        for _ in range(MAX_INVALID_FRAMES - 1):
            device.send(WRONG_PING)
        device.send(frame)
    assert device.socket.closed is None


@asynchronous
async def test_a_ping_may_carry_up_to_1_kib_of_json_and_the_pong_repeats_it() -> None:
    device = await _device()
    for text in ("x", "é", "😀"):
        data = {"a": None, "text": text * ((1024 - len('{"a":null,"text":""}')) // len(text.encode()))}
        assert (await _ask(device, {"type": "PING", "data": data}))["data"] == data
    assert (await _ask(device, {"type": "PING", "data": {}}))["data"] == {}
    large = {"text": "x" * 1024}
    answer = await _ask(device, {"type": "PING", "message_id": "p", "data": large})
    assert (answer["type"], answer["error"]["code"]) == ("NACK", "validation_failed")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@asynchronous
async def test_what_is_no_finite_number_is_refused_in_every_field_that_counts(number: str) -> None:
    device = await _device()
    for type, field in (("PING", "n"), ("READ_RECEIPT", "seq")):
        frame = f'{{"type":"{type}","message_id":"m1","data":{{"{field}":{number}}}}}'
        device.connection.on_text(frame.encode())
        await turns(5)
        assert device.answers[-1]["error"]["code"] == "validation_failed", type


@pytest.mark.parametrize("seq", [0, -1, 1.5, "12", True])
@asynchronous
async def test_a_receipts_seq_that_is_no_position_is_named(seq: Any) -> None:
    answer = await _ask(await _device(), {"type": "READ_RECEIPT", "message_id": "r", "data": {"seq": seq}})
    assert answer["error"]["code"] == "validation_failed"
    assert answer["data"].startswith("data.seq: ")


class _AlmostFree(RateLimiter):
    """Over the rate by less than a thousandth of a second."""

    def check(self, user_id: str, now: float) -> float | None:
        return 0.0004


@asynchronous
async def test_whoever_waits_for_retry_after_is_never_a_moment_too_early() -> None:
    device = await _device(limiter=_AlmostFree(1, 1.0), signal_limiter=_AlmostFree(1, 1.0))
    for type, data in (("CHAT_MESSAGE", "text"), ("TYPING_INDICATOR", {"is_typing": True})):
        answer = await _ask(device, {"type": type, "message_id": "m1", "data": data})
        assert answer["error"] == {"code": "rate_limited", "retryable": True, "retry_after": 0.001}


@asynchronous
async def test_a_clients_stamp_within_a_day_is_passed_on_beside_the_servers_own() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    now = time.time_ns() // 1_000_000
    stamps = [rfc3339(now - DAY_MS + 60_000), rfc3339(now - DAY_MS - 60_000), "yesterday", 12, None]
    for number, stamp in enumerate(stamps):
        phone.send({"type": "CHAT_MESSAGE", "message_id": f"m{number}", "data": "text", "timestamp": stamp})
    await stage.settle()
    again = await stage.join("laptop", last_seq=0)
    await turns(10)
    for device in (tablet, again):
        frames = [frame for frame in device.socket.frames if frame["type"] == "CHAT_MESSAGE"]
        assert [frame.get("client_timestamp") for frame in frames] == [stamps[0], None, None, None, None]
        assert all(frame["timestamp"] >= rfc3339(now) for frame in frames)


@asynchronous
async def test_unknown_fields_are_ignored_and_not_passed_on() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    forged = {"seq": 99, "sender": "mallory", "finish": "cancelled", "colour": "red", "duplicate": True}
    phone.send({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "text", **forged})
    phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True, "colour": "red"}, **forged})
    await stage.settle()
    by_type = {frame["type"]: frame for frame in tablet.socket.frames}
    message, typing = by_type["CHAT_MESSAGE"], by_type["TYPING_INDICATOR"]
    envelope = {"type", "message_id", "conversation_id", "data", "timestamp", "sender"}
    assert set(message) == envelope | {"seq"}
    assert (message["seq"], message["sender"]) == (1, "kai")
    assert set(typing) == envelope
    assert (typing["data"], typing["sender"]) == ({"is_typing": True}, "kai")


@asynchronous
async def test_every_frame_of_the_server_has_an_id_the_conversation_a_stamp_and_a_sender() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    phone.say("m1")
    phone.send({"type": "PING"})
    phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
    phone.send({"type": "nonsense"})
    await stage.settle()
    phone.send({"type": "READ_RECEIPT", "message_id": "r1", "data": {"seq": 1}})
    phone.say("m2", " ")
    await stage.settle()
    frames = phone.socket.frames + tablet.socket.frames
    seen = {"SYSTEM", "CHAT_MESSAGE", "ACK", "NACK", "ERROR", "PONG", "TYPING_INDICATOR", "READ_RECEIPT"}
    assert {frame["type"] for frame in frames} == seen
    for frame in frames:
        assert frame["message_id"] and frame["conversation_id"] == "conv_kai_ai_alex", frame
        assert frame["timestamp"].endswith("Z") and frame["sender"] in ("kai", "server"), frame


@asynchronous
async def test_of_duplicate_keys_in_data_the_last_counts() -> None:
    device = await _device()
    device.connection.on_text(b'{"type":"PING","data":{"n":1,"n":2}}')
    await turns(3)
    assert json.dumps(device.answers[-1]["data"]) == '{"n": 2}'


@asynchronous
async def test_what_comes_after_the_tokens_end_is_not_authorized_even_before_the_close() -> None:
    device = await _device()
    device.connection.info.expires = time.time() - 0.01
    for type, data in (("CHAT_MESSAGE", "text"), ("TYPING_INDICATOR", {"is_typing": True})):
        nack = await _ask(device, {"type": type, "message_id": "m1", "data": data})
        assert (nack["type"], nack["error"]["code"]) == ("NACK", "not_authorized")
    refresh = {"type": "AUTH_REFRESH", "message_id": "r", "data": {"token": "renewed"}}
    assert (await _ask(device, refresh))["type"] == "ACK"
    assert (await _ask(device, {"type": "PING"}))["type"] == "PONG"
    assert device.seen == []


@asynchronous
async def test_nothing_of_one_conversation_reaches_another_of_the_same_user() -> None:
    stage = Stage(MemoryStore())
    here, there = await stage.join("phone", conversation="one"), await stage.join("phone", conversation="two")
    here.say("m1")
    here.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
    await stage.settle()
    here.send({"type": "READ_RECEIPT", "message_id": "r1", "data": {"message_id": "m1"}})
    here.connection.on_closed(1006)
    await stage.settle()
    assert [frame["type"] for frame in there.socket.frames] == ["SYSTEM"]
    there.send({"type": "READ_RECEIPT", "message_id": "r2", "data": {"message_id": "m1"}})
    await stage.settle()
    assert there.answers[-1]["error"]["code"] == "validation_failed"


@asynchronous
async def test_all_devices_get_the_same_frame_now_or_later() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    phone.say("m1", 'grüße, "Kai"\n\\ 😀')
    await stage.settle()
    late = await stage.join("laptop", last_seq=0)
    await turns(10)
    frames = [
        [frame for frame in device.socket.frames if frame["type"] == "CHAT_MESSAGE"]
        for device in (phone, tablet, late)
    ]
    assert frames[0] == frames[1] == frames[2]
    assert [(frame["message_id"], frame["data"]) for frame in frames[0]] == [("m1", 'grüße, "Kai"\n\\ 😀')]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"PING","x":"\\ud800"}',
        b'{"type":"PING","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"type":"PING","x":' + b"9" * 5000 + b"}",
    ],
)
@asynchronous
async def test_what_a_strict_json_parser_refuses_is_invalid_json_wherever_it_stands(payload: bytes) -> None:
    device = await _device()
    device.connection.on_text(payload)
    await turns(3)
    answer = device.answers[-1]
    assert (answer["type"], answer["error"]["code"]) == ("ERROR", "invalid_json")


@asynchronous
async def test_the_texts_of_an_ack_and_of_the_refusal_of_an_empty_message_are_the_contracts() -> None:
    device = await _device()
    ack = await _ask(device, {"type": "CHAT_MESSAGE", "message_id": "m1", "data": "text"})
    nack = await _ask(device, {"type": "CHAT_MESSAGE", "message_id": "m2", "data": " \n"})
    assert (ack["type"], ack["data"]) == ("ACK", "Message processed successfully")
    assert (nack["type"], nack["data"]) == ("NACK", "Message cannot be empty")
    assert nack["error"] == {"code": "empty_message", "retryable": False}


@asynchronous
async def test_what_is_wrong_or_not_allowed_is_told_before_the_rate_and_costs_none_of_it() -> None:
    device = await _device(limiter=RateLimiter(1, 60.0))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"data": ""}, "empty_message"),
        ({"data": "x" * 4001}, "message_too_long"),
        ({"data": 1}, "validation_failed"),
        ({"data": "text", "conversation_id": "another"}, "not_authorized"),
    ]
    codes = []
    for _ in range(2):
        for fields, _ in wrong:
            answer = await _ask(device, {"type": "CHAT_MESSAGE", "message_id": "m1", **fields})
            codes.append(answer["error"]["code"])
        device.say("m2")
        await turns(5)
    assert codes == [code for _, code in wrong] * 2
    assert [f["message_id"] for f in device.answers if f["type"] == "ACK"] == ["m2", "m2"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
_IN_ORDER: list[dict[str, Any]] = [
    {"type": "CHAT_MESSAGE", "data": "text"},
    {"type": "TYPING_INDICATOR", "data": {"is_typing": True}},
    {"type": "READ_RECEIPT", "data": {"seq": 1}},
    {"type": "CANCEL_RESPONSE", "data": {"message_id": "a1"}},
    {"type": "AUTH_REFRESH", "data": {"token": "x"}},
    {"type": "PING", "data": {"n": 1}},
    {"type": "PONG"},
    {"type": "ACK", "data": "a server's type"},
]
# Up to two fields of a frame that is in order are taken away or are something else.
_changes = st.dictionaries(
    st.sampled_from(["type", "message_id", "conversation_id", "data"]), st.none() | _json, max_size=2
)
_frames = st.builds(
    lambda frame, changes: frame | {"message_id": "m1"} | changes, st.sampled_from(_IN_ORDER), _changes
)


@given(_frames | _json)
def test_every_frame_gets_exactly_the_answer_that_it_is_due(frame: Any) -> None:
    async def answers_to(frame: Any) -> list[dict[str, Any]]:
        stage = Stage(MemoryStore())
        device = await stage.join("phone")
        device.send(frame)
        await stage.settle()
        return device.answers

    message_id = frame.get("message_id") if isinstance(frame, dict) else None
    has_id = isinstance(message_id, str) and is_identifier(message_id)
    type = frame.get("type") if isinstance(frame, dict) else None
    answers = asyncio.run(answers_to(frame))
    types = [answer["type"] for answer in answers]
    assert all(answer["message_id"] == message_id for answer in answers if has_id)
    if type == "PONG":
        assert types in ([], ["NACK"] if has_id else ["ERROR"])
    elif type == "PING":
        assert types in (["PONG"], ["NACK"] if has_id else ["ERROR"])
    elif has_id:
        assert types in (["ACK"], ["NACK"])
    else:
        assert types == ["ERROR"] or (type == "TYPING_INDICATOR" and types == [])
