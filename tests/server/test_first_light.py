"""One user, three devices, nothing lost: against a real server process."""

import sqlite3
from pathlib import Path

from tests.support.device import CONVERSATION, Connect
from tests.support.server import RunningServer, running_server


def test_a_message_reaches_every_device_and_then_its_sender_gets_the_ack(
    server: RunningServer, connect_device: Connect
) -> None:
    phone, tablet, laptop = (connect_device(server, name) for name in ("phone", "tablet", "laptop"))
    phone.say("m1", "Hey Alex!")
    for device in (phone, tablet, laptop):
        frame = device.receive_until("CHAT_MESSAGE")
        assert (frame["message_id"], frame["data"], frame["sender"], frame["seq"]) == (
            "m1",
            "Hey Alex!",
            "kai",
            1,
        )
    ack = phone.receive()
    assert (ack["type"], ack["message_id"], ack["seq"]) == ("ACK", "m1", 1)


def test_an_ai_message_reaches_every_device(server: RunningServer, connect_device: Connect) -> None:
    phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
    answer = server.post(
        "/api/send-ai-message", {"conversation_id": CONVERSATION, "message": "Hi!", "message_id": "a1"}
    )
    assert answer.status_code == 200
    assert answer.json()["delivered_to"] == 2
    for device in (phone, tablet):
        frame = device.receive_until("AI_RESPONSE")
        assert (frame["message_id"], frame["sender"], frame["data"]) == ("a1", "ai_alex", "Hi!")


def test_a_resend_is_acked_with_the_first_seq_and_neither_saved_nor_broadcast_again(
    server: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
    message = {"type": "CHAT_MESSAGE", "message_id": "m1", "data": "once"}
    first, second = phone.ask(message), phone.ask(message)
    assert (first["seq"], second["seq"], second["duplicate"]) == (1, 1, True)
    assert "duplicate" not in first
    phone.say("m2", "twice")
    assert [tablet.receive_until("CHAT_MESSAGE")["message_id"] for _ in range(2)] == ["m1", "m2"]


def test_what_was_acked_survives_a_kill_with_the_same_seq(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        for number in range(20):
            phone.say(f"m{number}", f"text {number}")
        acked = {ack["message_id"]: ack["seq"] for ack in (phone.receive_until("ACK") for _ in range(20))}
        server.kill()
    with running_server(tmp_path) as server:
        history = server.get(f"/api/conversations/{CONVERSATION}/messages?after_seq=0").json()["items"]
    assert {frame["message_id"]: frame["seq"] for frame in history} == acked


def test_a_locked_database_is_a_nack_within_the_timeout_and_then_all_is_well(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, store__timeout=0.5) as server:
        phone = connect_device(server, "phone")
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "hello?"})
        assert (answer["type"], answer["error"]["code"]) == ("NACK", "store_unavailable")
        other.execute("ROLLBACK")
        other.close()
        assert phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "hello?"})["seq"] == 1


def test_sigterm_answers_closes_with_1001_and_exits_with_0(
    server: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(server, "phone")
    phone.say("m1", "last words")
    assert server.terminate() == 0
    assert phone.receive_until("ACK")["seq"] == 1
    assert phone.wait_for_close()[0] == 1001


def test_a_second_server_on_the_same_file_exits_with_2_and_names_the_first(
    server: RunningServer, tmp_path: Path
) -> None:
    second = RunningServer.attempt(tmp_path)
    assert second.returncode == 2
    assert str(server.process.pid) in second.stderr
