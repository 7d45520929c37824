"""The demo answers: a newcomer's first message, bursts, and what a restart left unanswered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.server import RunningServer, running_server

QUICK: dict[str, object] = {
    "ai__responder": "demo",
    "ai__typing_delay": "[0.05, 0.1]",
    "ai__turn_wait": 0.2,
    "ai__turn_max_wait": 1.0,
}
SLOW = QUICK | {"ai__typing_delay": "[1.0, 1.0]"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("demo"), **QUICK) as it:
        yield it


def seen_until_answer(device: Device) -> list[dict[str, Any]]:
    frames = [device.receive()]
    while frames[-1]["type"] != "AI_RESPONSE":
        frames.append(device.receive())
    return [frame for frame in frames if frame["type"] not in ("SYSTEM", "ACK", "AI_RESPONSE_CHUNK")]


def say(device: Device, *ids: str) -> None:
    for id in ids:
        device.ask({"type": "CHAT_MESSAGE", "message_id": id, "data": "Hello!"})


def test_a_message_is_read_typed_and_answered_on_every_device(
    demo: RunningServer, connect_device: Connect
) -> None:
    devices = [connect_device(demo, name, user="ann", conversation="c_ann") for name in ("phone", "tablet")]
    devices[0].say("m1", "Hi, who are you?")
    for device in devices:
        frames = seen_until_answer(device)
        assert [(f["type"], f["sender"]) for f in frames] == [
            ("CHAT_MESSAGE", "ann"),
            ("READ_RECEIPT", "ai"),
            ("TYPING_INDICATOR", "ai"),
            ("TYPING_INDICATOR", "ai"),
            ("AI_RESPONSE", "ai"),
        ]
        assert frames[1]["data"] == {"message_id": "m1", "seq": 1}
        assert [f["data"]["is_typing"] for f in frames[2:4]] == [True, False]
        assert frames[4]["seq"] == 2
    trace = demo.get("/api/conversations/c_ann/messages/m1").json()
    assert trace["events"][-1]["event"] == "handed_over"


def test_a_burst_is_answered_once(demo: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(demo, "phone", user="bob", conversation="c_bob")
    for id in ("m1", "m2", "m3"):
        phone.say(id, "Hello!")
    frames = seen_until_answer(phone)
    assert [f["data"]["seq"] for f in frames if f["type"] == "READ_RECEIPT"] == [3]
    assert frames[-1]["seq"] == 4
    say(phone, "m4")
    assert seen_until_answer(phone)[-1]["seq"] == 6


def test_the_answer_waits_while_the_user_types_but_not_forever(
    demo: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(demo, "phone", user="cleo", conversation="c_cleo")
    tablet = connect_device(demo, "tablet", user="cleo", conversation="c_cleo")
    phone.say("m1", "Hello!")
    phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
    say(tablet, "m2")  # on the other device: the typing goes on
    frames = seen_until_answer(tablet)
    receipts = [f["data"]["seq"] for f in frames if f["type"] == "READ_RECEIPT"]
    assert receipts == [2]


def test_a_message_during_an_answer_is_answered_after_it(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path, **SLOW) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        phone.receive_until("TYPING_INDICATOR")
        say(phone, "m2")
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-1"
        assert phone.receive_until("READ_RECEIPT")["data"]["seq"] == 2
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-2"


def test_with_interrupt_cancel_a_message_during_an_answer_gets_one_answer_to_both(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, **SLOW, ai__interrupt="cancel") as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        phone.receive_until("TYPING_INDICATOR")
        say(phone, "m2")
        answer = phone.receive_until("AI_RESPONSE")
        assert (answer["message_id"], answer["seq"]) == ("answer-2", 3)


def test_what_was_not_answered_before_a_kill_is_answered_after_the_next_start(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, **SLOW) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        phone.receive_until("TYPING_INDICATOR")
        server.kill()
    with running_server(tmp_path, **QUICK) as server:
        phone = connect_device(server, "phone", last_seq=1)
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-1"
        server.terminate()
    with running_server(tmp_path, **QUICK) as server:
        phone = connect_device(server, "phone")
        say(phone, "m2")
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-3"
        history = server.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"]
        assert [frame["type"] for frame in history] == ["CHAT_MESSAGE", "AI_RESPONSE"] * 2


def test_without_a_responder_nothing_is_answered(server: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(server, "phone")
    say(phone, "m1")
    phone.send({"type": "PING", "message_id": "p"})
    assert phone.receive()["type"] == "PONG"
