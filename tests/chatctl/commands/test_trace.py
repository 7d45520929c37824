import json
from typing import Any

from tests.chatctl.conftest import Run
from tests.chatctl.dashboard.figures_of_a_server import room
from tests.chatctl.rest_server import RestServer

TRACE: dict[str, Any] = {
    "message": {
        "type": "CHAT_MESSAGE",
        "message_id": "m1",
        "conversation_id": "a",
        "sender": "user123",
        "data": "Hey",
    },
    "seq": 7,
    "events": [
        {"at": "2026-01-01T00:00:00.000Z", "event": "received"},
        {"at": "2026-01-01T00:00:00.001Z", "event": "broadcast", "devices": 3},
    ],
}


def test_it_shows_the_message_and_its_events(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /api/conversations/a/messages/m1"] = (200, TRACE)
    code, out, _ = chatctl("trace", "m1", "--conversation", "a")
    assert code == 0
    for text in ("CHAT_MESSAGE m1 in a, seq 7", "from user123: Hey", "received", "devices=3", ":00.001 "):
        assert text in out
    assert json.loads(chatctl("trace", "m1", "--conversation", "a", "--json").out) == TRACE


def test_without_a_conversation_those_that_are_or_lately_were_open_are_searched(
    chatctl: Run, rest: RestServer
) -> None:
    rest.answers["GET /stats/conversations"] = (200, {"items": [room("b")], "has_more": False})
    left = {"event": "disconnect", "conversation_id": "a"}
    rest.answers["GET /stats/events"] = (200, {"items": [left, left], "has_more": False})
    code, _, err = chatctl("trace", "m1")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "--conversation" in err
    rest.answers["GET /api/conversations/a/messages/m1"] = (200, TRACE)
    assert chatctl("trace", "m1").code == 0
    rest.answers["GET /api/conversations/b/messages/m1"] = (200, TRACE)
    assert chatctl("trace", "m1") == (1, "", "chatctl: m1 is in b, a; choose one with --conversation\n")
