"""Read receipts, AI status, cancellations and token refreshes between real devices."""

from pathlib import Path
from typing import Any

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.server import RunningServer, running_server


def receipt(id: str, **data: Any) -> dict[str, Any]:
    return {"type": "READ_RECEIPT", "message_id": id, "data": data}


def say(device: Device, *ids: str) -> None:
    for id in ids:
        device.ask({"type": "CHAT_MESSAGE", "message_id": id, "data": "text"})


def read_seqs_before_pong(device: Device) -> list[int]:
    device.send({"type": "PING", "message_id": "probe"})
    seqs = []
    while (frame := device.receive())["type"] != "PONG":
        if frame["type"] == "READ_RECEIPT":
            seqs.append(frame["data"]["seq"])
    return seqs


def test_a_receipt_is_passed_on_to_the_other_devices_and_goes_only_forward(
    server: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
    say(phone, "m1", "m2", "m3")
    assert phone.ask(receipt("r1", message_id="m2"))["type"] == "ACK"
    frame = tablet.receive_until("READ_RECEIPT")
    assert (frame["message_id"], frame["sender"]) == ("r1", "kai")
    assert frame["data"] == {"message_id": "m2", "seq": 2}
    assert phone.ask(receipt("r2", seq=1))["type"] == "ACK"
    assert phone.ask(receipt("r3", seq=2))["type"] == "ACK"
    assert phone.ask(receipt("r4", seq=99))["type"] == "ACK"
    assert read_seqs_before_pong(tablet) == [3]
    assert read_seqs_before_pong(phone) == []


def test_a_position_survives_a_kill(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        server.post("/api/send-ai-message", {"conversation_id": CONVERSATION, "message": "Hi"})
        phone.ask(receipt("r1", seq=1))
        server.kill()
    with running_server(tmp_path) as server:
        listed = server.get("/api/conversations?user_id=kai").json()["items"][0]
        assert (listed["last_read_seq"], listed["unread"]) == (1, 1)


def test_a_receipt_of_nothing_is_refused(server: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(server, "phone")
    nothing: list[dict[str, Any]] = [
        {},
        {"seq": 0},
        {"seq": True},
        {"seq": "1"},
        {"message_id": "unknown"},
        {"message_id": 1},
    ]
    for data in nothing:
        answer = phone.ask(receipt("r1", **data))
        assert (answer["type"], answer["error"]["code"]) == ("NACK", "validation_failed"), data


def test_the_ais_receipt_reaches_all_devices_once(server: RunningServer, connect_device: Connect) -> None:
    phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
    say(phone, "m1")
    for _ in range(2):
        answer = server.post("/api/read-receipts", {"conversation_id": CONVERSATION, "message_id": "m1"})
        assert (answer.status_code, answer.json()["seq"]) == (200, 1)
    for device in (phone, tablet):
        frame = device.receive_until("READ_RECEIPT")
        assert (frame["sender"], frame["data"]) == ("ai_alex", {"message_id": "m1", "seq": 1})
        assert read_seqs_before_pong(device) == []
    wrong: list[tuple[dict[str, Any], int]] = [
        ({}, 422),
        ({"seq": 0}, 422),
        ({"seq": 1, "message_id": "m1"}, 422),
        ({"message_id": "none"}, 404),
    ]
    for body, status in wrong:
        answer = server.post("/api/read-receipts", {"conversation_id": CONVERSATION, **body})
        assert answer.status_code == status


def test_an_ais_status_reaches_its_open_conversations_and_later_welcomes(
    server: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(server, "phone")
    other = connect_device(server, "phone", conversation="conv_ai_bo")
    answer = server.post("/api/ai-status", {"ai_id": "ai_alex", "status": "away"})
    assert (answer.status_code, answer.json()["delivered_to"]) == (200, 1)
    assert phone.receive_until("AI_STATUS")["data"] == {"ai_id": "ai_alex", "status": "away"}
    assert other.ask({"type": "PING", "message_id": "p"})["type"] == "PONG"
    assert connect_device(server, "tablet").welcome["data"]["ai"]["status"] == "away"
    assert server.post("/api/ai-status", {"ai_id": "ai_alex", "status": "gone"}).status_code == 422


def test_cancelling_when_nothing_is_written_is_refused_and_a_token_without_jwt_is_accepted(
    server: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(server, "phone")
    answer = phone.ask({"type": "CANCEL_RESPONSE", "message_id": "x", "data": {"message_id": "a1"}})
    assert (answer["type"], answer["error"]["code"]) == ("NACK", "validation_failed")
    answer = phone.ask({"type": "AUTH_REFRESH", "message_id": "y", "data": {"token": "t"}})
    assert (answer["type"], answer["message_id"]) == ("ACK", "y")
