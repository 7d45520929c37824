"""Commands against a real server: that what they expect is what it answers."""

import json

import pytest

from tests.chatctl.conftest import Run
from tests.support.device import CONVERSATION as ROOM
from tests.support.device import Connect
from tests.support.server import RunningServer


@pytest.fixture(autouse=True)
def found_without_url(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATCTL_URL", server.url)


def test_an_ai_message_reaches_a_device_and_the_history(
    chatctl: Run, server: RunningServer, connect_device: Connect
) -> None:
    device = connect_device(server, "phone")
    code, out, _ = chatctl("send-ai", ROOM, "Hi! How's your day?", "--message-id", "m1")
    assert (code, out) == (0, "saved as seq 1, queued to 1 device (message_id m1)\n")
    assert device.receive_until("AI_RESPONSE")["data"] == "Hi! How's your day?"
    assert chatctl("send-ai", ROOM, "Hi! How's your day?", "--message-id", "m1").out.startswith(
        "was saved before"
    )
    assert "Hi! How's your day?" in chatctl("history", ROOM).out
    assert [item["seq"] for item in json.loads(chatctl("history", ROOM, "--all", "--json").out)["items"]] == [
        1
    ]


def test_what_the_server_refuses_is_told_in_its_words(chatctl: Run) -> None:
    assert chatctl("send-ai", "nobody", "Hi") == (1, "", "chatctl: conversation not found (not_found)\n")
    assert "empty_message" in chatctl("send-ai", "nobody", " ").err


def test_the_dashboard_shows_the_room_and_the_device(
    chatctl: Run, server: RunningServer, connect_device: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # narrower ones cut off who connects
    connect_device(server, "phone")
    code, out, err = chatctl("stats", "--once")
    assert (code, err) == (0, "")
    for text in ("● ok", ROOM, "connect    kai"):
        assert text in out
    assert json.loads(chatctl("stats", "--json").out)["connections"]["current"] == 1


def test_connections_and_events_tell_of_the_device(
    chatctl: Run, server: RunningServer, connect_device: Connect
) -> None:
    connect_device(server, "phone")
    (row,) = json.loads(chatctl("connections", "--json").out)["items"]
    assert (row["user_id"], row["conversation_id"], row["ip"]) == ("kai", ROOM, "127.0.0.1")
    assert ROOM in chatctl("connections").out
    (line,) = chatctl("events").out.splitlines()
    assert json.loads(line)["event"] == "connect"
