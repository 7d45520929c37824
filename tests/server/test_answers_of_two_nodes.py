"""Answers where one of two real servers writes them and is killed or stopped meanwhile."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.knock import wait_until
from tests.support.model_server import FOR_EVER, model_server, piece
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server
from tests.support.valkey_server import ValkeyServer
from tests.support.webhook_service import (
    SECRET,
    Delivery,
    Reply,
    WebhookService,
    message,
    refusal,
    webhook_service,
)

Start = Callable[..., tuple[RunningServer, RunningServer]]
NODE_TTL = 1.0


@pytest.fixture
def start_two(
    tmp_path: Path, postgres: PostgresServer, postgres_database: str, valkey: ValkeyServer
) -> Iterator[Start]:
    shared: dict[str, Any] = {"store__url": postgres.url(postgres_database), "backplane__url": valkey.url()}
    shared |= {"backplane__node_ttl": NODE_TTL, "ai__typing_delay": "[0, 0]", "ai__turn_wait": 0.1}
    with ExitStack() as stack:

        def start(**settings: Any) -> tuple[RunningServer, RunningServer]:
            one, two = (stack.enter_context(running_server(tmp_path, **shared, **settings)) for _ in range(2))
            return one, two

        yield start


class Writer:
    """A service that streams an answer piece by piece."""

    def __init__(self, server: RunningServer, message_id: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        path = f"/api/stream-ai-message?conversation_id={CONVERSATION}&message_id={message_id}"
        self._socket.sendall(
            f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )

    def write(self, text: str) -> None:
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(text.encode()), text.encode()))

    def status(self) -> int:
        """That of its answer, which is awaited."""
        return int(self._socket.recv(65536).split()[1])

    def close(self) -> None:
        self._socket.close()


Write = Callable[[RunningServer, str], Writer]


@pytest.fixture
def write() -> Iterator[Write]:
    with ExitStack() as stack:
        yield lambda server, message_id: stack.enter_context(closing(Writer(server, message_id)))


def next_piece(device: Device) -> dict[str, Any]:
    data: dict[str, Any] = device.receive_until("AI_RESPONSE_CHUNK")["data"]
    return data


@contextmanager
def killed_or_stopped(server: RunningServer, number: int) -> Iterator[None]:
    if number == signal.SIGKILL:
        server.kill()
        yield
        return
    server.process.send_signal(number)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_an_answer_is_seen_on_both_and_cancelled_from_the_other(
    start_two: Start, connect_device: Connect, write: Write
) -> None:
    one, two = start_two()
    laptop = connect_device(two, "laptop")
    writer = write(one, "a1")
    writer.write("Hello, ")
    assert next_piece(laptop) == {"text": "Hello, ", "index": 0, "offset": 0}
    tablet = connect_device(two, "tablet")
    assert next_piece(tablet) == {"text": "Hello, ", "index": 0, "offset": 0}
    writer.write("you")
    assert next_piece(tablet) == {"text": "you", "index": 1, "offset": 7}
    laptop.send({"type": "CANCEL_RESPONSE", "message_id": "c1", "data": {}})
    assert laptop.receive_until("ACK", "NACK")["type"] == "ACK"
    for device in (laptop, tablet):
        frame = device.receive_until("AI_RESPONSE")
        assert (frame["data"], frame["finish"], frame["seq"]) == ("Hello, you", "cancelled", 1)
    assert writer.status() == 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_answer_is_taken_back_when_its_node_is_killed_or_stopped(
    start_two: Start, connect_device: Connect, write: Write, number: int
) -> None:
    one, two = start_two()
    laptop, phone = connect_device(two, "laptop"), connect_device(one, "phone")
    writer = write(one, "a1")
    writer.write("Hel")
    assert next_piece(laptop)["text"] == next_piece(phone)["text"] == "Hel"
    with killed_or_stopped(one, number):
        began = time.monotonic()
        assert next_piece(laptop) == {"aborted": True}
        assert time.monotonic() - began < NODE_TTL + 3
        late = connect_device(two, "late")
        late.send({"type": "PING", "message_id": "p1"})
        assert late.receive_until("PONG", "AI_RESPONSE_CHUNK")["type"] == "PONG"
    if number == signal.SIGSTOP:  # it wakes, and does not go on as if nothing had been
        assert next_piece(phone) == {"aborted": True}
        assert writer.status() == 500
        assert one.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_turn_whose_node_is_killed_or_stopped_is_answered_by_the_other(
    start_two: Start, connect_device: Connect, number: int
) -> None:
    with model_server() as provider:
        provider.reply(piece("Well"), FOR_EVER)
        provider.reply(piece("Here I am"), piece(None, "stop"))
        one, two = start_two(
            ai__responder="openai", ai__base_url=f"{provider.url}/v1", ai__model="m", ai__turn_max_wait=0.5
        )
        laptop, phone = connect_device(two, "laptop"), connect_device(one, "phone")
        phone.say("m1", "Are you there?")
        assert next_piece(laptop)["text"] == "Well"
        with killed_or_stopped(one, number):
            assert next_piece(laptop) == {"aborted": True}
            answer = receive_within(laptop, 15)
            assert (answer["message_id"], answer["data"]) == ("answer-1-2", "Here I am")
        if number == signal.SIGSTOP:
            assert receive_within(phone, 10)["message_id"] == "answer-1-2"
        time.sleep(1.5)
        items = two.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"]
        assert [item["type"] for item in items] == ["CHAT_MESSAGE", "AI_RESPONSE"]


def receive_within(device: Device, seconds: float) -> dict[str, Any]:
    """The next whole answer."""
    while (frame := device.receive(timeout=seconds))["type"] != "AI_RESPONSE":
        pass
    return frame


def test_a_burst_on_both_is_answered_once(start_two: Start, connect_device: Connect) -> None:
    with model_server() as provider:
        provider.reply(piece("Hello"), piece(None, "stop"))
        one, two = start_two(ai__responder="openai", ai__base_url=f"{provider.url}/v1", ai__model="m")
        phone, laptop = connect_device(one, "phone"), connect_device(two, "laptop")
        for number in range(3):
            phone.say(f"p{number}", "Hi")
            laptop.say(f"l{number}", "Hi")
        for device in (phone, laptop):
            assert receive_within(device, 10)["data"] == "Hello"
        time.sleep(1.5)
        assert len(provider.requests) == 1


def called(service: WebhookService) -> dict[str, Any]:
    return {"ai__webhook_url": service.url, "ai__webhook_secrets": SECRET}


def test_news_is_told_once_and_not_of_a_user_whose_device_is_on_the_other(
    start_two: Start, connect_device: Connect
) -> None:
    with webhook_service(lambda delivery: refusal(204)) as service:
        one, two = start_two(
            ai__webhook_url=service.url, ai__webhook_secrets=SECRET, ai__webhook_events='["undelivered"]'
        )
        laptop = connect_device(two, "laptop")
        said = {"conversation_id": CONVERSATION, "message": "You are here", "message_id": "a1"}
        assert one.post("/api/send-ai-message", said).status_code == 200
        laptop.receive_until("AI_RESPONSE")
        laptop.socket.close()
        wait_until(lambda: not two.get("/stats/connections").json()["items"])
        assert one.post("/api/send-ai-message", said | {"message_id": "a2"}).status_code == 200
        [news] = service.wait_for(1, "undelivered")
        assert news.data["message"]["message_id"] == "a2"
        time.sleep(2)
        assert len(service.of("undelivered")) == 1


def test_a_dead_letter_is_sent_again_by_one_node_alone(start_two: Start, connect_device: Connect) -> None:
    def script(delivery: Delivery) -> Reply:
        if "replayed" not in delivery.data:
            return refusal(422)
        time.sleep(2.5)  # both look for what is to be sent again every two seconds
        return message("At last")

    with webhook_service(script) as service:
        one, two = start_two(
            ai__responder="webhook",
            ai__webhook_url=service.url,
            ai__webhook_secrets=SECRET,
            ai__webhook_attempts=1,
        )
        phone = connect_device(one, "phone")
        phone.say("m1", "Hi")
        wait_until(lambda: len(two.get("/api/dead-letters").json()["items"]) == 1)
        assert two.post("/api/dead-letters/replay", {}).json() == {"replayed": 1}
        assert receive_within(phone, 15)["data"] == "At last"
        assert len(service.turns) == 2
