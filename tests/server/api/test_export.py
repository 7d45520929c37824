"""Everything that is kept about a user can be read, whole and by services alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chatctl.tokens import mint
from tests.support.device import Connect
from tests.support.server import RunningServer, running_server


@pytest.fixture
def unlimited(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, rate_limit__enabled="false") as server:
        yield server


def export(server: RunningServer, user: str) -> list[dict[str, Any]]:
    answer = server.get(f"/api/users/{user}/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.split("\n") if line]


def test_it_has_the_users_conversations_messages_and_positions_and_nobody_elses(
    unlimited: RunningServer, connect_device: Connect
) -> None:
    api = unlimited
    phone = connect_device(api, "phone", user="ada", conversation="x-ada.ai_alex")
    connect_device(api, "phone", user="bea", conversation="x-bea").say("m", "another's")
    for number in range(450):  # pages and pages, with what splits lines elsewhere
        phone.ask({"type": "CHAT_MESSAGE", "message_id": f"m{number}", "data": f"text\u2028{number}\n"})
    said = {"conversation_id": "x-ada.ai_alex", "message": "Hi", "message_id": "answer-450"}
    api.post("/api/send-ai-message", said)
    phone.ask({"type": "READ_RECEIPT", "message_id": "r", "data": {"seq": 451}})
    user, conversation, *messages = export(api, "ada")
    assert user == {"kind": "user", "user_id": "ada"}
    assert conversation["conversation_id"] == "x-ada.ai_alex"
    assert conversation["ai"] == {"id": "ai_alex", "name": "Alex"}
    assert (conversation["last_seq"], conversation["last_read_seq"]) == (451, 451)
    assert conversation["last_answered_seq"] == 450
    assert [message["seq"] for message in messages] == list(range(1, 452))
    assert [message["ai_generated"] for message in messages] == [False] * 450 + [True]
    assert messages[7]["data"] == "text\u20287\n"


def test_of_whom_nothing_is_kept_there_is_the_name_alone(api: RunningServer) -> None:
    assert export(api, "nobody") == [{"kind": "user", "user_id": "nobody"}]
    assert api.get("/api/users/a%20b/export").status_code == 404


def test_a_users_own_token_does_not_read_it(tmp_path: Path) -> None:
    secret = "a secret of the server, long enough"
    with running_server(tmp_path, auth__api_keys="k" * 16, auth__jwt_secret=secret) as server:
        for headers, status in (
            ({"Authorization": f"Bearer {mint('ada', secret, 60)}"}, 403),
            ({}, 401),
            ({"X-API-Key": "k" * 16}, 200),
        ):
            assert httpx2.get(f"{server.url}/api/users/ada/export", headers=headers).status_code == status
