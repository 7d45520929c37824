"""The load test's AI service: it behaves as it is told, dies with what it has open, and forgets nothing."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from loadtest.service import manners
from loadtest.service.account import Delivery
from loadtest.service.manners import BAD, GOOD, Choice, choose
from loadtest.service.service import AiService, read_account
from tests.chatctl.rest_server import Request, rest_server

TIMEOUT = 0.2


@pytest.fixture
def service() -> Iterator[AiService]:
    service = AiService(TIMEOUT)
    service.start()
    yield service
    service.close()


def turn(service: AiService, name: str = "t1", *seqs: int, timeout: float = 5.0) -> httpx2.Response:
    messages = [{"seq": seq, "message_id": f"m{seq}", "data": "Hi"} for seq in seqs or (1, 2)]
    body = {"type": "message", "data": {"conversation_id": "c", "messages": messages}}
    return httpx2.post(service.turns_url, json=body, headers={"webhook-id": name}, timeout=timeout)


def known(service: AiService) -> list[Delivery]:
    return read_account(service.url, "c")


def test_each_delivery_stands_in_the_account_with_its_turn_and_what_was_answered(service: AiService) -> None:
    service.mood = manners.busy
    assert turn(service).status_code in (429, 502, 503, 504)
    service.mood = manners.plain
    answer = turn(service).json()["message"]
    first, second = known(service)
    assert [(it.turn, it.attempt, it.last_seq) for it in (first, second)] == [("t1", 1, 2), ("t1", 2, 2)]
    assert (first.taken, first.answers) == (None, [])
    assert second.answers == [answer]
    assert first.arrived < second.arrived < (second.taken or 0)


def test_it_dies_with_what_it_has_open_and_comes_back_with_what_it_knew(service: AiService) -> None:
    service.mood = manners.plain
    turn(service)
    service.mood = manners.hanging
    ended: list[str] = []

    def hang() -> None:
        with pytest.raises(httpx2.HTTPError):
            turn(service, "t2", 3)
        ended.append("t2")

    caller = threading.Thread(target=hang)
    caller.start()
    while len(service.account.of("c")) < 2:
        time.sleep(0.01)
    service.die()
    caller.join(5)
    assert ended == ["t2"]
    with pytest.raises(httpx2.ConnectError):
        turn(service, "t3", 4)
    service.start()
    assert [it.turn for it in known(service)] == ["t1", "t2"]


@pytest.mark.parametrize("choice", GOOD, ids=lambda choice: choice.name)
def test_with_good_manners_the_turn_is_taken_and_the_answer_known(choice: Choice) -> None:
    service = AiService(TIMEOUT, choose=lambda delivery: choice)
    service.start()
    assert turn(service).is_success
    service.close()
    (delivery,) = service.account.of("c")
    assert delivery.taken is not None
    assert delivery.answers
    assert delivery.manner == choice.name


@pytest.mark.parametrize("choice", BAD, ids=lambda choice: choice.name)
def test_with_bad_manners_the_server_has_to_ask_again(choice: Choice) -> None:
    """What is answered late is taken: the server cannot know."""
    service = AiService(TIMEOUT, choose=lambda delivery: choice)
    service.start()
    heard = ""
    with suppress(httpx2.HTTPError):
        response = turn(service, timeout=TIMEOUT)
        heard = response.text if response.is_success else ""
    service.close()
    (delivery,) = service.account.of("c")
    assert delivery.taken is None or choice.name == "answers late"
    assert "that is all" not in heard


def test_what_it_took_it_answers_later_until_the_server_has_taken_that() -> None:
    given: list[Any] = []

    def take(request: Request) -> tuple[int, Any]:
        given.append(request.body)
        return (200, {"seq": 3}) if len(given) == 2 else (503, {})

    service = AiService(TIMEOUT, choose=lambda delivery: next(it for it in GOOD if it.name == "later"))
    with rest_server() as rest:
        rest.replies["POST /api/send-ai-message"] = take
        service.answer_to(rest.url)
        service.start()
        assert turn(service).status_code == 202
        while len(given) < 2:
            time.sleep(0.01)
        service.close()
    (delivery,) = service.account.of("c")
    body = {"conversation_id": "c", "message_id": "answer-2", "message": delivery.answers[0]}
    assert given == [body, body]


def test_a_turn_that_failed_often_enough_is_answered_well() -> None:
    delivery = Delivery(turn="t", conversation_id="c", messages=[], attempt=3, arrived=1)
    assert {choose(delivery) for _ in range(300)} <= set(GOOD)
    delivery.attempt = 1
    assert {choose(delivery) for _ in range(2000)} == {*GOOD, *BAD}
