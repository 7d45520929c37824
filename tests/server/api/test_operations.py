"""What operators do is done, can be undone where it may, and leaves a line in the log."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import WebSocketException

from tests.support.device import CONVERSATION, Connect
from tests.support.server import RunningServer, running_server


def told(server: RunningServer, event: str) -> dict[str, Any]:
    """The log's line of that name, without time and level; written within a moment."""
    for _ in range(200):
        for line in map(json.loads, server.errors.splitlines()):
            if line["event"] == event:
                return {
                    key: value for key, value in line.items() if key not in ("timestamp", "level", "event")
                }
        time.sleep(0.01)
    raise AssertionError(f"{event!r} is not in the log: {server.errors}")


def delete(server: RunningServer, path: str) -> int:
    return httpx2.delete(server.url + path).status_code


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_announcing_closing_deleting_and_draining_leave_a_line_in_the_log(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        connection_id = phone.welcome["data"]["connection_id"]
        server.post("/api/system-messages", {"data": "Back at ten.", "user_id": "kai"})
        assert told(server, "announced") == {"devices": 1, "user_id": "kai"}
        assert delete(server, f"/api/connections/{connection_id}") == 204
        closed = told(server, "closed by an operator")
        assert (closed["user_id"], closed["connection_id"]) == ("kai", connection_id)
        assert delete(server, f"/api/conversations/{CONVERSATION}") == 204
        assert told(server, "conversation deleted") == {"conversation_id": CONVERSATION}
        assert delete(server, "/api/users/kai") == 204
        assert told(server, "user deleted") == {"user_id": "kai", "conversations": 0}
        server.post("/api/drain", {"per_second": 50})
        assert told(server, "draining") == {"per_second": 50, "connections": 0}
        assert delete(server, "/api/drain") == 204
        assert told(server, "takes connections again") == {"connections": 0}
        assert "Back at ten" not in server.errors  # what is said to users is theirs


def test_a_drain_that_is_undone_ends_and_the_node_takes_everything_again(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path) as server:
        devices = [connect_device(server, f"d{number}") for number in range(5)]
        server.post("/api/drain", {"per_second": 1})  # the first is closed at once
        with pytest.raises(WebSocketException):
            connect_device(server, "late")
        until(lambda: server.get("/stats").json()["connections"]["current"] < len(devices))
        assert delete(server, "/api/drain") == 204
        assert server.get("/health").status_code == 200
        left = server.get("/stats").json()["connections"]["current"]
        assert left >= 3
        again = connect_device(server, "again")
        assert again.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "x"})["type"] == "ACK"
        time.sleep(1.5)  # in which the drain would have closed the next one
        # One more may have been told to leave before that.
        assert server.get("/stats").json()["connections"]["current"] >= left


def test_a_node_that_was_never_drained_says_that_it_takes_connections(api: RunningServer) -> None:
    assert delete(api, "/api/drain") == 204
