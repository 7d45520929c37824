"""Typing indicators between real devices."""

from collections.abc import Iterator
from typing import Any

import pytest

from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import Connect, Device
from tests.support.server import RunningServer, running_server
from tests.support.stage import Stage, turns

TIMEOUT = 0.3


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {"typing__timeout": TIMEOUT, "typing__ai_timeout": TIMEOUT, "ai__typing_delay": "[0.05, 0.1]"}
    with running_server(tmp_path_factory.mktemp("typing"), **settings) as it:
        yield it


def typing(is_typing: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "TYPING_INDICATOR", "data": {"is_typing": is_typing}, **fields}


def next_typing(device: Device) -> tuple[str, bool]:
    frame = device.receive_until("TYPING_INDICATOR")
    return frame["sender"], frame["data"]["is_typing"]


def pair(server: RunningServer, connect: Connect, user: str) -> tuple[Device, Device]:
    room = f"c_{user}_ai_alex"
    return (
        connect(server, "phone", user=user, conversation=room),
        connect(server, "tablet", user=user, conversation=room),
    )


def types_until_pong(device: Device) -> list[str]:
    """What the device had been sent before the answer to a PING of its own."""
    device.send({"type": "PING", "message_id": "probe"})
    seen = []
    while (frame := device.receive())["type"] != "PONG":
        seen.append(frame["type"])
    return seen


def test_typing_is_passed_on_to_the_other_devices_and_ends_by_itself(
    quick: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = pair(quick, connect_device, "ann")
    phone.send(typing(True))
    assert [next_typing(tablet), next_typing(tablet)] == [("ann", True), ("ann", False)]
    assert "TYPING_INDICATOR" not in types_until_pong(phone)


def test_the_typists_message_ends_it_once(quick: RunningServer, connect_device: Connect) -> None:
    phone, tablet = pair(quick, connect_device, "bob")
    phone.send(typing(True))
    assert next_typing(tablet) == ("bob", True)
    phone.say("m1", "done")
    ended = tablet.receive_until("TYPING_INDICATOR")
    assert ended["data"]["is_typing"] is False
    assert tablet.receive()["type"] == "CHAT_MESSAGE"
    assert types_until_pong(tablet) == []


@asynchronous
async def test_the_typists_leaving_ends_it_at_once() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    phone.send(typing(True))
    phone.connection.on_closed(1006)
    await turns(3)
    seen = [f["data"]["is_typing"] for f in tablet.socket.frames if f["type"] == "TYPING_INDICATOR"]
    assert seen == [True, False]


def test_only_an_indicator_with_a_message_id_is_answered(
    quick: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = pair(quick, connect_device, "dora")
    answer = phone.ask(typing(True, message_id="t1"))
    assert (answer["type"], answer["message_id"]) == ("ACK", "t1")
    assert "seq" not in answer
    assert tablet.receive_until("TYPING_INDICATOR")["message_id"] == "t1"
    refused = phone.ask(typing("yes", message_id="t2"))
    assert (refused["type"], refused["error"]["code"]) == ("NACK", "validation_failed")
    error = phone.ask(typing(1))
    assert (error["type"], error["error"]["code"]) == ("ERROR", "invalid_frame")
    phone.send(typing(False))
    assert next_typing(tablet) == ("dora", False)
    assert types_until_pong(phone) == []


def test_the_ais_typing_shows_on_all_devices_and_ends_before_its_answer(
    quick: RunningServer, connect_device: Connect
) -> None:
    devices = pair(quick, connect_device, "eve")
    room = "c_eve_ai_alex"
    answer = quick.post("/api/typing", {"conversation_id": room, "is_typing": True})
    assert (answer.status_code, answer.json()["delivered_to"]) == (200, 2)
    quick.post("/api/send-ai-message", {"conversation_id": room, "message": "Hi"})
    for device in devices:
        assert [next_typing(device), next_typing(device)] == [("ai_alex", True), ("ai_alex", False)]
        assert device.receive()["type"] == "AI_RESPONSE"


def test_the_ais_typing_ends_after_its_timeout_or_when_its_service_says_so(
    quick: RunningServer, connect_device: Connect
) -> None:
    phone, _ = pair(quick, connect_device, "finn")
    for is_typing in (True, False, True):
        quick.post("/api/typing", {"conversation_id": "c_finn_ai_alex", "is_typing": is_typing})
    assert [next_typing(phone)[1] for _ in range(4)] == [True, False, True, False]


def test_a_message_with_simulate_typing_is_typed_first_but_not_again_when_it_is_repeated(
    quick: RunningServer, connect_device: Connect
) -> None:
    phone, _ = pair(quick, connect_device, "gil")
    body = {
        "conversation_id": "c_gil_ai_alex",
        "message": "Hi",
        "message_id": "a1",
        "simulate_typing": True,
    }
    assert quick.post("/api/send-ai-message", body).status_code == 200
    assert [next_typing(phone), next_typing(phone)] == [("ai_alex", True), ("ai_alex", False)]
    assert phone.receive()["type"] == "AI_RESPONSE"
    assert quick.post("/api/send-ai-message", body).json()["duplicate"] is True
    assert types_until_pong(phone) == []


def test_typing_of_an_unknown_conversation_or_another_ai_is_refused(
    quick: RunningServer, connect_device: Connect
) -> None:
    pair(quick, connect_device, "hana")
    unknown = quick.post("/api/typing", {"conversation_id": "none", "is_typing": True})
    foreign = quick.post(
        "/api/typing", {"conversation_id": "c_hana_ai_alex", "is_typing": True, "ai_id": "ai_bo"}
    )
    assert [unknown.status_code, foreign.status_code] == [404, 409]
