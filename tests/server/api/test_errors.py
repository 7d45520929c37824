"""What is wrong with a request is told so that its sender can mend it, and kept for operators."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.device import CONVERSATION, Connect
from tests.support.server import RunningServer, running_server


def refused(answer: httpx2.Response) -> tuple[int, str, str]:
    document = answer.json()
    assert set(document) == {"type", "message_id", "data", "error"}
    return answer.status_code, document["error"]["code"], document["data"]


def test_an_unknown_route_and_a_wrong_method_say_what_there_is(api: RunningServer) -> None:
    assert refused(api.post("/api/no-such-route", {})) == (
        404,
        "not_found",
        "there is no such route; GET /openapi.json lists them",
    )
    wrong = httpx2.put(f"{api.url}/api/typing", json={})
    assert refused(wrong)[::2] == (405, "PUT is not understood here: use POST")
    assert wrong.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"conversation_id": "none", "message": "x"}, 404, "conversation not found"),
        ({"message": " "}, 422, "Message cannot be empty"),
        ({"message": "x" * 32_001}, 422, "message: the text has 32001 characters, at most 32000 are allowed"),
        ({"message": "x", "ai_id": "ai_bo"}, 409, "ai_id: the conversation's AI is ai_alex"),
        ({"message": "x", "type": "CHAT_MESSAGE"}, 422, "type: input should be 'AI_RESPONSE'"),
    ],
)
def test_a_refused_ai_message_is_told_with_its_message_id(
    api: RunningServer, body: dict[str, Any], status: int, text: str
) -> None:
    api.post(
        "/api/conversations", {"user_id": "u", "ai": {"id": "ai_alex", "name": "A"}, "conversation_id": "r"}
    )
    answer = api.post("/api/send-ai-message", {"conversation_id": "r", "message_id": "a1", **body})
    assert refused(answer)[::2] == (status, text)
    assert answer.json()["message_id"] == "a1"


def test_what_was_not_done_is_kept_for_operators_and_what_was_not_found_is_not(api: RunningServer) -> None:
    before = api.get("/stats").json()["errors"]["total"]
    api.post("/api/send-ai-message", {"conversation_id": "none", "message": "x", "message_id": "a9"})
    api.get("/api/conversations/none")
    assert api.get("/stats").json()["errors"]["total"] == before + 1
    error = api.get("/stats/errors?limit=1").json()["items"][0]
    assert error.pop("at").endswith("Z")
    assert error == {
        "code": "not_found",
        "text": "conversation not found",
        "route": "POST /api/send-ai-message",
        "message_id": "a9",
    }


def test_with_a_locked_database_writes_are_503_health_says_so_and_nothing_is_half_done(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, store__timeout=1.2) as server:
        phone = connect_device(server, "phone")
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        message = {"conversation_id": CONVERSATION, "message": "Hi", "message_id": "a1"}
        for answer in (
            server.post("/api/send-ai-message", message),
            server.post("/api/matches", {"user_id": "kai", "ai": {"id": "ai_x", "name": "X"}}),
            httpx2.delete(f"{server.url}/api/conversations/{CONVERSATION}"),
        ):
            assert refused(answer)[:2] == (503, "store_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        assert phone.wait_for_close()[0] == 1013  # it is to come back and see what there is
        health = server.get("/health")
        assert (health.status_code, health.json()["checks"]["store"]) == (503, "unavailable")
        assert int(health.headers["Retry-After"]) >= 1
        assert server.get("/stats").json()["server"]["status"] == "unavailable"
        assert server.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"] == []
        other.close()
        assert connect_device(server, "phone").welcome["data"]["last_seq"] == 0
        assert server.post("/api/send-ai-message", message).status_code == 200
        assert server.get("/health").status_code == 200


def test_monitors_may_ask_for_the_headers_alone(api: RunningServer) -> None:
    for path in ("/", "/health", "/health/live"):
        answer = httpx2.head(api.url + path)
        assert (answer.status_code, answer.content) == (200, b"")
