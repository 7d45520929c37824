"""The application's own AI service, called by a real server: order, outages, restarts, late answers."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server
from tests.support.webhook_service import (
    SECRET,
    Delivery,
    Reply,
    WebhookService,
    message,
    refusal,
    webhook_service,
)

OTHER_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def settings(service: WebhookService, **more: object) -> dict[str, object]:
    return {
        "ai__responder": "webhook",
        "ai__webhook_url": service.url,
        "ai__webhook_secrets": f'["{SECRET}"]',
        "ai__typing_delay": "[0, 0]",
        "ai__turn_wait": 0.05,
    } | more


Store = dict[str, object]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """The settings of each store that is durable, for what has to be kept."""
    if request.param == "sqlite":
        return {}
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return {"store__url": postgres.url(request.getfixturevalue("postgres_database"))}


def say(device: Device, id: str, text: str = "Hello") -> None:
    assert device.ask({"type": "CHAT_MESSAGE", "message_id": id, "data": text})["type"] == "ACK"


def until(holds: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def history(server: RunningServer, conversation: str = CONVERSATION) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get(f"/api/conversations/{conversation}/messages").json()["items"]
    return items


def answers(server: RunningServer, conversation: str = CONVERSATION) -> list[tuple[str, str]]:
    frames = history(server, conversation)
    return [(it["message_id"], it["data"]) for it in frames if it["type"] == "AI_RESPONSE"]


def speak(server: RunningServer, message_id: str, text: str) -> httpx2.Response:
    body = {"conversation_id": CONVERSATION, "message_id": message_id, "message": text}
    return server.post("/api/send-ai-message", body)


def test_a_turn_is_posted_signed_with_its_history_and_its_answer_is_the_ais(
    tmp_path: Path, connect_device: Connect
) -> None:
    secrets = f'["{OTHER_SECRET}", "{SECRET}"]'  # the service knows the second one only
    with (
        webhook_service(lambda delivery: message(f"I hear {' '.join(delivery.said)}")) as service,
        running_server(tmp_path, **settings(service, ai__webhook_secrets=secrets)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1", "One")
        phone.receive_until("AI_RESPONSE")
        say(phone, "m2", "Two")
        answer = phone.receive_until("AI_RESPONSE")
        assert (answer["message_id"], answer["data"]) == ("answer-3", "I hear Two")
        first, second = service.turns
        assert "." not in first.id and first.id != second.id
        assert len(second.headers["webhook-signature"].split()) == 2
        frames = history(server)
        assert second.data == {
            "conversation_id": CONVERSATION,
            "user_id": "kai",
            "ai_id": "ai_alex",
            "messages": [frames[2]],
            "message": frames[2],
            "history": frames[:2],
        }


def test_a_streamed_answer_is_shown_while_it_comes(tmp_path: Path, connect_device: Connect) -> None:
    reply = Reply(headers={"Content-Type": "text/plain"}, chunks=[b"Once ", 0.3, b"upon", 0.3, b" a time"])
    with (
        webhook_service(lambda delivery: reply) as service,
        running_server(tmp_path, **settings(service)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        assert phone.receive_until("AI_RESPONSE_CHUNK")["data"]["text"] == "Once "
        assert phone.receive_until("AI_RESPONSE")["data"] == "Once upon a time"


def test_a_turn_is_tried_again_as_it_was_and_what_comes_meanwhile_is_the_next_one(
    tmp_path: Path, connect_device: Connect
) -> None:
    def script(delivery: Delivery) -> Reply:
        return refusal(500, b"not yet") if len(service.turns) < 3 else message("ok")

    with webhook_service(script) as service, running_server(tmp_path, **settings(service)) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1", "One")
        service.wait_for(1)
        say(phone, "m2", "Two")
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-1"
        assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-2"
        first, again, third, following = service.turns
        assert first.id == again.id == third.id != following.id
        assert [it.said for it in service.turns] == [["One"], ["One"], ["One"], ["Two"]]
        assert 0.7 < again.at - first.at < 3
        errors = server.get("/stats/errors").json()["items"]
        assert "answered 500: not yet" in errors[-1]["text"]


def test_what_a_turn_was_is_kept_over_a_kill_and_nothing_is_lost(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    with webhook_service(lambda delivery: refusal(500)) as service:
        with running_server(tmp_path, **settings(service, **store)) as server:
            phone = connect_device(server, "phone")
            say(phone, "m1", "One")
            service.wait_for(1)
            say(phone, "m2", "Two")
            server.kill()
        service.script = lambda delivery: message(f"answer to {' '.join(delivery.said)}")
        with running_server(tmp_path, **settings(service, **store)) as server:
            until(lambda: len(answers(server)) == 2)
            assert answers(server) == [("answer-1", "answer to One"), ("answer-2", "answer to Two")]
        assert len({it.id for it in service.turns}) == 2


def test_a_service_that_is_away_is_probed_and_comes_back_to_a_slow_start(
    tmp_path: Path, connect_device: Connect
) -> None:
    rooms = [f"conv_{number}_ai_alex" for number in range(500)]
    running, at_once = 0, []

    def script(delivery: Delivery) -> Reply:
        nonlocal running
        running += 1
        at_once.append(running)
        time.sleep(0.02)
        running -= 1
        return message("back")

    with (
        webhook_service(lambda delivery: refusal(503)) as service,
        running_server(tmp_path, **settings(service, rate_limit__joins=1000)) as server,
    ):
        for number, room in enumerate(rooms):
            phone = connect_device(server, "phone", user=f"u{number}", conversation=room)
            say(phone, "m1")
            phone.socket.close()
        time.sleep(max(0.0, service.turns[0].at + 6 - time.monotonic()))
        began = service.turns[0].at
        probes = [call.at - began for call in service.turns if call.at - began > 0.5]
        assert len(probes) in (2, 3)  # one at a time, about 1, 2 and 4 s apart
        assert probes[1] - probes[0] > 1.5
        stats = server.get("/stats").json()["ai"]
        assert (stats["breaker"], stats["turns_waiting"]) == ("open", len(rooms))
        asked = len(service.turns)
        service.script = script
        until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0, 40)
        assert all(answers(server, room) == [("answer-1", "back")] for room in rooms)
        assert len(service.turns) - asked == len(rooms)  # none twice
        assert at_once[:2] == [1, 1]
        assert max(at_once) > 4
        stats = server.get("/stats").json()["ai"]
        assert (stats["breaker"], stats["dead_letters"]) == ("closed", 0)
        assert stats["failures"] == {"unavailable": asked}


def test_a_service_that_is_not_there_loses_nothing(tmp_path: Path, connect_device: Connect) -> None:
    service = WebhookService()
    with running_server(tmp_path, **settings(service, ai__webhook_attempts=1)) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        until(lambda: server.get("/stats").json()["ai"]["failures"].get("unreachable", 0) >= 2)
        service.start()
        try:
            assert phone.receive_until("AI_RESPONSE")["message_id"] == "answer-1"
        finally:
            service.stop()


def test_one_slow_turn_holds_up_nobody(tmp_path: Path, connect_device: Connect) -> None:
    def script(delivery: Delivery) -> Reply:
        if delivery.said == ["slow"]:
            time.sleep(3)
        return message("ok")

    with (
        webhook_service(script) as service,
        running_server(tmp_path, **settings(service, ai__webhook_timeout=0.5)) as server,
    ):
        slow = connect_device(server, "slow", user="ann", conversation="c_slow")
        phone = connect_device(server, "phone")
        say(slow, "m1", "slow")
        service.wait_for(1)
        for number in range(10):
            began = time.monotonic()
            say(phone, f"m{number}")
            phone.receive_until("AI_RESPONSE")
            assert time.monotonic() - began < 0.5
            time.sleep(0.1)
        assert server.get("/stats").json()["ai"]["failures"]["timeout"] >= 1
        assert server.get("/stats").json()["ai"]["breaker"] == "closed"


def test_retry_after_is_obeyed(tmp_path: Path, connect_device: Connect) -> None:
    def script(delivery: Delivery) -> Reply:
        return refusal(429, Retry_After="2") if len(service.turns) == 1 else message("ok")

    with webhook_service(script) as service, running_server(tmp_path, **settings(service)) as server:
        phone = connect_device(server, "phone")
        say(phone, "m1")
        first, second = service.wait_for(2)
        assert second.at - first.at >= 2


def test_a_turn_that_the_service_cannot_take_becomes_a_dead_letter_and_can_be_sent_again(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    def script(delivery: Delivery) -> Reply:
        is_poison = delivery.said == ["poison"] and "replayed" not in delivery.data
        return refusal(422, b"cannot read that") if is_poison else message(f"to {delivery.said[0]}")

    with (
        webhook_service(script) as service,
        running_server(tmp_path, **settings(service, **store, ai__webhook_attempts=2)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1", "poison")
        service.wait_for(1)
        say(phone, "m2", "fine")
        told = phone.receive_until("SYSTEM")["data"]
        assert (told["event"], told["retry_in"]) == ("no_answer", None)
        assert phone.receive_until("AI_RESPONSE")["data"] == "to fine"
        [letter] = server.get("/api/dead-letters").json()["items"]
        assert letter["failed_at"]
        assert letter["conversation_id"] == CONVERSATION
        assert (letter["seqs"], letter["attempts"]) == ([1], 2)
        metrics = server.get("/metrics").text.splitlines()
        assert "chat_dead_letters 1.0" in metrics
        assert 'chat_ai_failures_total{kind="upstream_error"} 2.0' in metrics
        assert 'chat_ai_breaker{state="closed"} 1.0' in metrics
        assert "answered 422: cannot read that" in letter["last_error"]
        for wrong in (
            {"since": 5},
            {"since": "2026-01-15"},
            {"since": letter["failed_at"], "conversation_id": "c"},
        ):
            assert server.post("/api/dead-letters/replay", wrong).status_code == 422
        late = server.post("/api/dead-letters/replay", {"since": "2999-01-15T00:00:00Z"})
        assert late.json() == {"replayed": 0}
        replay = server.post("/api/dead-letters/replay", {"conversation_id": CONVERSATION})
        assert (replay.status_code, replay.json()) == (202, {"replayed": 1})
        assert phone.receive_until("AI_RESPONSE")["data"] == "to poison"
        until(lambda: not server.get("/api/dead-letters").json()["items"])
        tries = [it for it in service.turns if it.said == ["poison"]]
        assert len(tries) == 3 and len({it.id for it in tries}) == 1
        assert tries[-1].data["replayed"] is True


def test_a_replay_that_fails_stays_a_dead_letter_and_can_be_dropped(
    tmp_path: Path, connect_device: Connect
) -> None:
    with (
        webhook_service(lambda delivery: refusal(422)) as service,
        running_server(tmp_path, **settings(service, ai__webhook_attempts=1)) as server,
    ):
        say(connect_device(server, "phone"), "m1")
        until(lambda: server.get("/api/dead-letters").json()["items"])
        assert server.post("/api/dead-letters/replay", {}).status_code == 202
        [letter] = until(
            lambda: [it for it in server.get("/api/dead-letters").json()["items"] if it["attempts"] == 2]
        )
        assert len(service.turns) == 2
        path = f"/api/dead-letters/{letter['conversation_id']}"
        assert [httpx2.delete(server.url + path).status_code for _ in range(2)] == [204, 404]


def test_410_stops_all_deliveries_until_an_operator_resumes_them_also_over_a_restart(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    with webhook_service(lambda delivery: refusal(410)) as service:
        with running_server(tmp_path, **settings(service, **store)) as server:
            say(connect_device(server, "phone"), "m1")
            until(lambda: server.get("/stats").json()["ai"]["paused"])
            server.kill()
        service.script = lambda delivery: message("ok")
        with running_server(tmp_path, **settings(service, **store)) as server:
            phone = connect_device(server, "phone", conversation="c_other", user="ann")
            say(phone, "m1")
            time.sleep(0.5)
            assert len(service.turns) == 1
            assert server.post("/api/webhook/resume", {}).status_code == 204
            until(lambda: answers(server) and answers(server, "c_other"))
            assert server.post("/api/webhook/pause", {}).status_code == 204
            say(phone, "m2")
            time.sleep(0.5)
            assert len(service.turns) == 3


def test_a_turn_that_was_taken_is_answered_later_and_holds_up_nothing(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    with (
        webhook_service(lambda delivery: refusal(202)) as service,
        running_server(tmp_path, **settings(service, **store)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        service.wait_for(1)
        say(phone, "m2")
        service.wait_for(2)
        until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)
        assert speak(server, "answer-2", "Second").json()["duplicate"] is False
        assert speak(server, "answer-1", "First").json()["duplicate"] is False
        assert speak(server, "answer-1", "First, again").json()["duplicate"] is True
        assert answers(server) == [("answer-2", "Second"), ("answer-1", "First")]
        server.kill()
    with running_server(tmp_path, **settings(service, **store)) as server:
        again = speak(server, "answer-1", "First, after a restart")
        assert again.json()["duplicate"] is True


def stop(device: Device, id: str, **data: str) -> Any:
    return device.ask({"type": "CANCEL_RESPONSE", "message_id": id, "data": data})["type"]


def test_while_an_answer_that_was_taken_is_awaited_the_ai_types_and_it_can_be_cancelled(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    with webhook_service(lambda delivery: refusal(204)) as service:
        with running_server(tmp_path, **settings(service, **store)) as server:
            phone = connect_device(server, "phone")
            say(phone, "m1")
            assert phone.receive_until("TYPING_INDICATOR")["data"]["is_typing"] is True
            until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)
            phone.send({"type": "CANCEL_RESPONSE", "message_id": "c1", "data": {}})
            assert phone.receive_until("TYPING_INDICATOR")["data"]["is_typing"] is False
            ended = phone.receive_until("AI_RESPONSE_CHUNK")
            assert (ended["message_id"], ended["data"]) == ("answer-1", {"aborted": True})
            assert phone.receive_until("ACK")["message_id"] == "c1"
            late = speak(server, "answer-1", "Too late")
            assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
            assert stop(phone, "c2") == "NACK"
            for seq in (2, 3):
                say(phone, f"m{seq}")
                until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)
            assert stop(phone, "c3", message_id="answer-2") == "ACK"
            server.kill()
        with running_server(tmp_path, **settings(service, **store)) as server:
            assert speak(server, "answer-1", "Too late, after a restart").status_code == 409
            assert speak(server, "answer-2", "Too late as well").status_code == 409
            phone = connect_device(server, "phone")
            assert stop(phone, "c4", message_id="answer-2") == "NACK"
            assert stop(phone, "c5") == "ACK"  # what was taken before the restart
            assert speak(server, "answer-3", "Too late").status_code == 409
            assert answers(server) == []


def test_no_device_is_shown_any_of_a_streamed_answer_that_comes_too_late(
    tmp_path: Path, connect_device: Connect
) -> None:
    with (
        webhook_service(lambda delivery: refusal(202)) as service,
        running_server(tmp_path, **settings(service)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)
        assert stop(phone, "c1") == "ACK"
        address = f"{server.url}/api/stream-ai-message?conversation_id={CONVERSATION}&message_id=answer-1"
        late = httpx2.post(address, content=b"Too late", headers={"Content-Type": "text/plain"})
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
        assert speak(server, "hello", "Something else").status_code == 200
        frames = [phone.receive()]
        while frames[-1]["type"] != "AI_RESPONSE":
            frames.append(phone.receive())
        assert "AI_RESPONSE_CHUNK" not in [frame["type"] for frame in frames]


def test_an_answer_that_is_written_to_a_taken_turn_is_saved_as_far_as_it_was_shown_when_all_is_cancelled(
    tmp_path: Path, connect_device: Connect
) -> None:
    with (
        webhook_service(lambda delivery: refusal(202)) as service,
        running_server(tmp_path, **settings(service)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)

        def body() -> Iterator[bytes]:
            yield b"Half an"
            phone.receive_until("AI_RESPONSE_CHUNK")
            assert stop(phone, "c1") == "ACK"
            yield b" answer"

        address = f"{server.url}/api/stream-ai-message?conversation_id={CONVERSATION}&message_id=answer-1"
        answer = httpx2.post(address, content=body(), headers={"Content-Type": "text/plain"})
        assert (answer.status_code, answer.json()["finish"]) == (200, "cancelled")
        assert answers(server) == [("answer-1", "Half an")]


def test_the_same_turn_answered_twice_is_saved_once(tmp_path: Path, connect_device: Connect) -> None:
    def script(delivery: Delivery) -> Reply:
        if len(service.turns) == 1:
            assert speak(server, "answer-1", "By REST").status_code == 200
            time.sleep(1.5)  # a time-out that was none
        return message("By the second try")

    with (
        webhook_service(script) as service,
        running_server(tmp_path, **settings(service, ai__webhook_timeout=0.7)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        until(lambda: server.get("/stats").json()["ai"]["turns_waiting"] == 0)
        time.sleep(2.5)
        assert answers(server) == [("answer-1", "By REST")]


def test_a_turn_answered_by_rest_while_its_answer_is_streamed_shows_no_more_of_the_stream(
    tmp_path: Path, connect_device: Connect
) -> None:
    reply = Reply(headers={"Content-Type": "text/plain"}, chunks=[b"Once ", 0.5, b"upon ", 0.3, b"a time"])
    with (
        webhook_service(lambda delivery: reply) as service,
        running_server(tmp_path, **settings(service)) as server,
    ):
        phone = connect_device(server, "phone")
        say(phone, "m1")
        assert phone.receive_until("AI_RESPONSE_CHUNK")["data"]["text"] == "Once "
        assert speak(server, "answer-1", "whole").status_code == 200
        assert phone.receive_until("AI_RESPONSE_CHUNK")["data"] == {"aborted": True}
        assert phone.receive_until("AI_RESPONSE")["data"] == "whole"
        say(phone, "m2")
        following = phone.receive_until("AI_RESPONSE_CHUNK")  # none of answer-1 came in between
        assert following["message_id"] == "answer-3"
        assert answers(server)[0] == ("answer-1", "whole")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(302, headers={"Location": "http://127.0.0.1:1/"}), "answered 302: redirects to"),
        (Reply(body=b"{}", headers={"Content-Type": "application/json"}), "message: is required"),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), "no JSON object"),
        (message(" "), "answered 200, but not as described"),
        (message("x" * (1 << 20)), "answered with more than 1048576 bytes"),
        (Reply(headers={"Content-Type": "text/plain"}, chunks=[b"Hel"], ends=False), "broke its answer off"),
        (Reply(headers={"Content-Type": "text/plain"}, chunks=[b" "]), "nothing can be shown"),
        (Reply(500, SECRET.encode() + b"s" * 500), "answered 500: ***sss"),
    ],
)
def test_what_is_not_as_described_is_the_services_fault(
    tmp_path: Path, connect_device: Connect, reply: Reply, why: str
) -> None:
    with (
        webhook_service(lambda delivery: reply) as service,
        running_server(tmp_path, **settings(service, ai__webhook_attempts=1)) as server,
    ):
        say(connect_device(server, "phone"), "m1")
        [letter] = until(lambda: server.get("/api/dead-letters").json()["items"])
        assert why in letter["last_error"]
        assert len(letter["last_error"]) < 400
        assert SECRET not in server.get("/stats/errors").text
        assert answers(server) == []


def test_the_service_hears_of_events_that_it_asked_for(tmp_path: Path, connect_device: Connect) -> None:
    events = '["user_online", "user_offline", "typing", "read"]'
    with (
        webhook_service() as service,
        running_server(
            tmp_path, **settings(service, ai__webhook_events=events, ai__responder="none")
        ) as server,
    ):
        until(lambda: not server.get("/stats").json()["ai"]["paused"])
        phone = connect_device(server, "phone")
        connect_device(server, "tablet")
        say(phone, "m1")
        phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
        phone.ask({"type": "READ_RECEIPT", "message_id": "r1", "data": {"seq": 1}})
        [online] = service.wait_for(1, "user_online")
        whose = {"conversation_id": CONVERSATION, "user_id": "kai", "ai_id": "ai_alex"}
        assert online.data == whose
        assert service.wait_for(1, "typing")[0].data == whose | {"is_typing": True}
        assert service.wait_for(1, "read")[0].data == whose | {"seq": 1}
        for row in server.get("/stats/connections").json()["items"]:
            httpx2.delete(f"{server.url}/api/connections/{row['connection_id']}")
        assert service.wait_for(1, "user_offline")[0].data == whose
        assert len(service.of("user_online")) == 1
        assert not service.turns


def test_the_service_hears_of_every_answer_that_nobody_was_there_for_also_after_a_crash(
    tmp_path: Path, connect_device: Connect, store: Store
) -> None:
    more = {"ai__webhook_events": '["undelivered"]', "ai__responder": "none"}
    with webhook_service(lambda delivery: refusal(500)) as service:
        with running_server(tmp_path, **settings(service, **store, **more)) as server:
            phone = connect_device(server, "phone")
            assert speak(server, "a1", "You are here").status_code == 200
            phone.socket.close()
            until(lambda: not server.get("/stats/connections").json()["items"])
            assert speak(server, "a2", "Where are you?").status_code == 200
            [news] = service.wait_for(1, "undelivered")
            assert news.data["message"] == history(server)[1]
            server.kill()
        service.script = lambda delivery: refusal(204)
        with running_server(tmp_path, **settings(service, **store, **more)):
            again = service.wait_for(2, "undelivered")[1]
            assert (again.id, again.data) == (news.id, news.data)
            time.sleep(1.5)
        told = len(service.of("undelivered"))
        with running_server(tmp_path, **settings(service, **store, **more)):
            time.sleep(1)
        assert len(service.of("undelivered")) == told
