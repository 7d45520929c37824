"""Rates of a real server: nothing that a user can do makes more of them."""

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.device import Connect, Device
from tests.support.server import running_server


def told_to_wait(device: Device, message_id: str) -> float:
    device.say(message_id, "one more")
    nack = device.receive_until("NACK")
    assert (nack["message_id"], nack["error"]["code"]) == (message_id, "rate_limited")
    assert nack["error"]["retryable"] is True
    wait: float = nack["error"]["retry_after"]
    return wait


def say(device: Device, message_id: str, text: str = "text") -> dict[str, object]:
    return device.ask({"type": "CHAT_MESSAGE", "message_id": message_id, "data": text})


def test_the_rate_is_the_users_on_whatever_device_connection_or_conversation(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, rate_limit__messages=3, rate_limit__window=60) as server:
        phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
        for number, device in enumerate((phone, tablet, phone)):
            assert say(device, f"m{number}")["type"] == "ACK"
        waits = [told_to_wait(phone, "n1"), told_to_wait(tablet, "n2")]
        phone.socket.close()
        session = phone.welcome["data"]["session_id"]
        again = connect_device(server, "phone", session_id=session, last_seq=0)
        others = [connect_device(server, "laptop"), connect_device(server, "phone", conversation="another")]
        waits += [told_to_wait(device, "n3") for device in (again, *others)]
        assert 50 < waits[-1] <= waits[0] <= 60
        assert say(connect_device(server, "phone", user="ben", conversation="bens"), "m0")["type"] == "ACK"


def test_signals_over_their_rate_are_nacked_or_dropped_and_messages_are_not_touched(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, rate_limit__signals=3, rate_limit__window=60) as server:
        phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
        for device in (phone, tablet, phone):
            assert device.ask({"type": "PING"})["type"] == "PONG"
        nack = tablet.ask({"type": "PING", "message_id": "p"})
        assert (nack["type"], nack["error"]["code"]) == ("NACK", "rate_limited")
        assert 0 < nack["error"]["retry_after"] <= 60
        phone.send({"type": "PING"})
        phone.send({"type": "PONG", "message_id": "q"})
        assert phone.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "text"})["type"] == "ACK"


def test_a_user_who_connects_too_often_is_told_to_come_later_and_others_are_not(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, rate_limit__joins=3, rate_limit__window=60) as server:
        for _ in range(3):
            connect_device(server, "phone")
        with pytest.raises(ConnectionClosed) as refusal:
            connect_device(server, "tablet", conversation="another")
        assert refusal.value.rcvd is not None
        assert (refusal.value.rcvd.code, "too often" in refusal.value.rcvd.reason) == (1013, True)
        connect_device(server, "phone", user="ben", conversation="bens")
        rejected = server.get("/stats").json()["connections"]["rejected"]
        assert rejected == {"rate_limited": 1}
