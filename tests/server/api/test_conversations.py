"""Conversations as resources, and what their users' devices hear of it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.device import Connect
from tests.support.server import RunningServer, running_server

ALEX = {"id": "ai_alex", "name": "Alex", "age": 27}


def made(api: RunningServer, user: str, conversation: str, route: str = "conversations") -> httpx2.Response:
    return api.post(f"/api/{route}", {"user_id": user, "ai": ALEX, "conversation_id": conversation})


def error_of(response: httpx2.Response) -> Any:
    return response.json()["error"]["code"]


def delete(api: RunningServer, path: str) -> httpx2.Response:
    return httpx2.delete(api.url + path)


def test_a_conversation_is_created_once_and_belongs_to_its_user(api: RunningServer) -> None:
    first, again = made(api, "ann", "c-ann"), made(api, "ann", "c-ann")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {
        "conversation_id": "c-ann",
        "user_id": "ann",
        "ai": ALEX,
        "last_seq": 0,
        "last_message": None,
        "last_read_seq": 0,
        "last_ai_read_seq": 0,
        "last_answered_seq": 0,
        "unread": 0,
    }
    other = made(api, "bob", "c-ann")
    assert (other.status_code, error_of(other)) == (409, "conflict")


def test_without_an_id_each_call_creates_a_conversation_of_its_own(api: RunningServer) -> None:
    ids = {
        api.post("/api/conversations", {"user_id": "una", "ai": ALEX}).json()["conversation_id"]
        for _ in range(2)
    }
    listed = api.get("/api/conversations?user_id=una").json()
    assert {item["conversation_id"] for item in listed["items"]} == ids
    assert len(ids) == 2


def test_the_list_has_the_newest_first_with_last_message_and_unread_count(
    api: RunningServer, connect_device: Connect
) -> None:
    made(api, "cleo", "c-cleo-1")
    made(api, "cleo", "c-cleo-2")
    phone = connect_device(api, "phone", user="cleo", conversation="c-cleo-1")
    phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "Hello"})
    api.post("/api/send-ai-message", {"conversation_id": "c-cleo-1", "message": "Hi", "message_id": "a1"})
    listed = api.get("/api/conversations?user_id=cleo").json()
    assert listed["has_more"] is False
    first, second = listed["items"]
    assert (first["conversation_id"], second["conversation_id"]) == ("c-cleo-1", "c-cleo-2")
    assert (first["last_seq"], first["unread"], first["last_read_seq"]) == (2, 1, 0)
    assert first["last_message"] == phone.receive_until("AI_RESPONSE")
    assert api.get("/api/conversations/c-cleo-1").json() == first
    assert api.get("/api/conversations?user_id=cleo&limit=1").json()["has_more"] is True


def test_a_match_is_told_to_all_devices_of_its_user_and_to_nobody_else(
    api: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(api, "phone", user="dora", conversation="c-dora-1")
    tablet = connect_device(api, "tablet", user="dora", conversation="c-dora-2")
    stranger = connect_device(api, "phone", user="eve", conversation="c-eve")
    assert made(api, "dora", "c-dora-new", route="matches").status_code == 201
    for device, room in ((phone, "c-dora-1"), (tablet, "c-dora-2")):
        match, created = device.receive(), device.receive()
        assert (match["type"], created["type"]) == ("NEW_MATCH", "CONVERSATION_CREATED")
        for frame in (match, created):
            assert frame["conversation_id"] == room
            assert frame["data"] == {"conversation_id": "c-dora-new", "ai": ALEX}
    assert stranger.ask({"type": "PING", "message_id": "p"})["type"] == "PONG"
    assert made(api, "dora", "c-dora-new", route="matches").status_code == 200
    assert phone.ask({"type": "PING", "message_id": "p"})["message_id"] == "p"


def test_a_match_made_twice_is_one_conversation_and_its_user_hears_of_it_once(
    api: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(api, "phone", user="dina", conversation="c-dina")
    wanted = {"user_id": "dina", "ai": ALEX}
    with ThreadPoolExecutor(8) as at_once:
        answers = list(at_once.map(lambda _: api.post("/api/matches", wanted), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    (made_once,) = {answer.json()["conversation_id"] for answer in answers}
    assert [phone.receive()["type"] for _ in range(2)] == ["NEW_MATCH", "CONVERSATION_CREATED"]
    assert phone.ask({"type": "PING", "message_id": "p"})["message_id"] == "p"
    assert api.post("/api/matches", wanted | {"ai": {"id": "ai_bo", "name": "Bo"}}).status_code == 201
    other_user = api.post("/api/matches", wanted | {"user_id": "dino"})
    assert (other_user.status_code, other_user.json()["conversation_id"] != made_once) == (201, True)


def test_a_match_is_the_conversation_that_the_user_has_with_that_ai_whatever_its_id(
    api: RunningServer, connect_device: Connect
) -> None:
    made(api, "emil", "c-emil")
    connect_device(api, "phone", user="erna", conversation="conv_erna_ai_alex")
    for user, conversation in (("emil", "c-emil"), ("erna", "conv_erna_ai_alex")):
        again = api.post("/api/matches", {"user_id": user, "ai": ALEX})
        assert (again.status_code, again.json()["conversation_id"]) == (200, conversation)


def test_a_match_is_made_though_somebody_has_taken_the_id_that_it_would_get(
    api: RunningServer, connect_device: Connect
) -> None:
    first = api.post("/api/matches", {"user_id": "flor", "ai": ALEX}).json()["conversation_id"]
    delete(api, f"/api/conversations/{first}")
    connect_device(api, "phone", user="mallory", conversation=first)
    again = api.post("/api/matches", {"user_id": "flor", "ai": ALEX})
    assert (again.status_code, again.json()["user_id"]) == (201, "flor")


@pytest.mark.parametrize("route", ["conversations", "matches"])
def test_what_is_told_of_an_ai_is_at_most_4_kib(api: RunningServer, route: str) -> None:
    def answer(length: int) -> httpx2.Response:
        ai = {"id": "ai_long", "name": "Long", "about": "x" * length}
        return api.post(f"/api/{route}", {"user_id": f"long-{route}", "ai": ai})

    around = len('{"id":"ai_long","name":"Long","about":""}')
    assert answer(4096 - around).status_code == 201
    refused = answer(4097 - around)
    assert (refused.status_code, error_of(refused)) == (422, "validation_failed")
    assert refused.json()["data"] == "ai: must not be longer than 4096 bytes as JSON"


def test_a_created_conversation_is_told_without_a_match(api: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(api, "phone", user="finn", conversation="c-finn")
    made(api, "finn", "c-finn-new")
    assert phone.receive()["type"] == "CONVERSATION_CREATED"


def test_the_ai_of_a_created_conversation_stands_in_the_welcome(
    api: RunningServer, connect_device: Connect
) -> None:
    made(api, "gil", "c-gil")
    assert connect_device(api, "phone", user="gil", conversation="c-gil").welcome["data"]["ai"] == {
        **ALEX,
        "status": "online",
    }


def test_a_deleted_conversation_is_gone_and_made_anew_it_is_another_log(
    api: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(api, "phone", user="hana", conversation="c-hana")
    for number in range(3):
        phone.ask({"type": "CHAT_MESSAGE", "message_id": f"m{number}", "data": "x"})
    assert delete(api, "/api/conversations/c-hana").status_code == 204
    assert phone.wait_for_close()[0] == 1000
    for path in ("", "/messages", "/messages/m1"):
        assert api.get(f"/api/conversations/c-hana{path}").status_code == 404
    assert error_of(delete(api, "/api/conversations/c-hana")) == "not_found"
    again = connect_device(api, "phone", user="hana", conversation="c-hana")
    assert again.welcome["data"]["last_seq"] == 0
    assert again.welcome["data"]["epoch"] != phone.welcome["data"]["epoch"]
    assert again.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "new"})["seq"] == 1


def test_deleting_a_user_removes_all_conversations_and_traces_of_that_user_alone(
    api: RunningServer, connect_device: Connect
) -> None:
    devices = [connect_device(api, "phone", user="iris", conversation=f"c-iris-{n}") for n in (1, 2)]
    other = connect_device(api, "phone", user="jon", conversation="c-jon")
    other.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "stays"})
    assert delete(api, "/api/users/iris").status_code == 204
    assert [device.wait_for_close()[0] for device in devices] == [1000, 1000]
    assert api.get("/api/conversations?user_id=iris").json()["items"] == []
    assert "iris" not in api.get("/stats/events?limit=1000").text
    assert api.get("/api/users/iris/presence").json()["last_seen"] is None
    assert api.get("/api/conversations/c-jon").json()["last_seq"] == 1
    assert other.ask({"type": "PING", "message_id": "p"})["type"] == "PONG"


def test_presence_counts_devices_and_remembers_when_the_last_one_left(
    api: RunningServer, connect_device: Connect
) -> None:
    nobody = {"status": "offline", "devices": 0, "last_seen": None}
    assert api.get("/api/users/kim/presence").json() == nobody
    phone = connect_device(api, "phone", user="kim", conversation="c-kim")
    tablet = connect_device(api, "tablet", user="kim", conversation="c-kim-2")
    online = api.get("/api/users/kim/presence").json()
    assert (online["status"], online["devices"]) == ("online", 2)
    phone.socket.close()
    while (presence := api.get("/api/users/kim/presence").json())["devices"] == 2:
        pass
    assert (presence["status"], presence["devices"]) == ("online", 1)
    tablet.socket.close()
    while (away := api.get("/api/users/kim/presence").json())["devices"] == 1:
        pass
    assert away["status"] == "offline"
    assert online["last_seen"] <= away["last_seen"]
    assert api.get("/api/users/kim/presence").json() == away


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/conversations", None, 422, "validation_failed"),
        ("GET", "/api/conversations?user_id=a%20b", None, 422, "validation_failed"),
        ("GET", "/api/conversations?user_id=a&limit=1001", None, 422, "validation_failed"),
        ("GET", "/api/conversations/none", None, 404, "not_found"),
        ("GET", "/api/conversations/a%20b", None, 404, "not_found"),
        ("POST", "/api/conversations", {"user_id": "a"}, 422, "validation_failed"),
        ("POST", "/api/conversations", {"user_id": "a", "ai": {"name": "x"}}, 422, "validation_failed"),
        ("DELETE", "/api/connections/none", None, 404, "not_found"),
        ("POST", "/api/system-messages", {"data": " "}, 422, "empty_message"),
        ("POST", "/api/system-messages", {"data": "x", "conversation_id": "none"}, 404, "not_found"),
        (
            "POST",
            "/api/system-messages",
            {"data": "x", "user_id": "a", "conversation_id": "b"},
            422,
            "validation_failed",
        ),
    ],
)
def test_faults_have_the_status_and_code_of_the_contract(
    api: RunningServer, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = httpx2.request(method, api.url + path, json=body)
    assert (answer.status_code, error_of(answer)) == (status, code)
    assert set(answer.json()) == {"type", "message_id", "data", "error"}


def test_an_announcement_reaches_the_devices_it_is_for(api: RunningServer, connect_device: Connect) -> None:
    lea = connect_device(api, "phone", user="lea", conversation="c-lea")
    max_ = connect_device(api, "phone", user="max", conversation="c-max")
    for target in ({"user_id": "lea"}, {"conversation_id": "c-lea"}, {}):
        answer = api.post("/api/system-messages", {"data": f"to {target}", **target})
        assert answer.status_code == 200
        frame = lea.receive_until("SYSTEM")
        assert frame["data"] == {"event": "announcement", "text": f"to {target}"}
        assert frame["conversation_id"] == "c-lea"
    assert max_.receive_until("SYSTEM")["data"]["text"] == "to {}"


def test_an_operator_closes_a_connection(api: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(api, "phone", user="nia", conversation="c-nia")
    path = f"/api/connections/{phone.welcome['data']['connection_id']}"
    assert delete(api, path).status_code == 204
    assert phone.wait_for_close()[0] == 1000
    assert delete(api, path).status_code == 404


def test_a_messages_trace_tells_its_way(api: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(api, "phone", user="oda", conversation="c-oda")
    phone.say("m1", "Where am I?")
    frame = phone.receive_until("CHAT_MESSAGE")
    phone.receive_until("ACK")
    trace = api.get("/api/conversations/c-oda/messages/m1").json()
    assert (trace["message"], trace["seq"]) == (frame, 1)
    assert [event["event"] for event in trace["events"]] == ["received", "saved", "broadcast", "acked"]
    assert api.get("/api/conversations/c-oda/messages/m2").status_code == 404


def test_a_body_over_1_mib_is_refused_whether_its_length_is_declared_or_not(api: RunningServer) -> None:
    text = b'{"data": "' + b"x" * (1 << 20) + b'"}'
    for content in (text, iter([text])):
        answer = httpx2.post(f"{api.url}/api/system-messages", content=content)
        assert (answer.status_code, error_of(answer)) == (413, "too_large")


def test_a_drained_node_tells_and_closes_everybody_refuses_writes_and_goes_on_answering(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path) as server:
        devices = [connect_device(server, f"d{number}") for number in range(3)]
        assert server.post("/api/drain", {"per_second": 1000}).status_code == 202
        for device in devices:
            assert device.receive_until("SYSTEM")["data"]["event"] in ("devices", "shutdown")
            assert device.wait_for_close()[0] == 1001
        refused = server.post("/api/system-messages", {"data": "x"})
        assert (refused.status_code, error_of(refused)) == (503, "shutting_down")
        assert int(refused.headers["Retry-After"]) >= 1
        health = server.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "draining")
        assert server.get("/api/conversations?user_id=kai").status_code == 200
