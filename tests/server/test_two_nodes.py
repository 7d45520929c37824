"""Two real servers on a real PostgreSQL and a real Valkey."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.knock import wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server
from tests.support.valkey_server import ValkeyServer


@pytest.fixture
def two_nodes(
    tmp_path: Path, postgres: PostgresServer, postgres_database: str, valkey: ValkeyServer
) -> Iterator[tuple[RunningServer, RunningServer]]:
    shared = {"store__url": postgres.url(postgres_database), "backplane__url": valkey.url()}
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(running_server(tmp_path, rate_limit__enabled=False, **shared)) for _ in "12"
        )
        yield one, two


def seqs(device: Device, count: int) -> list[int]:
    return [device.receive_until("CHAT_MESSAGE", "AI_RESPONSE")["seq"] for _ in range(count)]


def test_devices_on_both_see_all_that_is_said_on_either_in_the_same_order(
    two_nodes: tuple[RunningServer, RunningServer], connect_device: Connect
) -> None:
    one, two = two_nodes
    phone, laptop = connect_device(one, "phone"), connect_device(two, "laptop")
    for number in range(50):
        phone.say(f"p{number}", "text")
        laptop.say(f"l{number}", "text")
    assert seqs(phone, 100) == seqs(laptop, 100) == list(range(1, 101))


def test_what_the_api_is_asked_for_on_one_node_reaches_devices_on_the_other(
    two_nodes: tuple[RunningServer, RunningServer], connect_device: Connect
) -> None:
    one, two = two_nodes
    laptop = connect_device(two, "laptop")
    here = {"conversation_id": CONVERSATION}
    typing = one.post("/api/typing", here | {"is_typing": True})
    assert typing.json()["delivered_to"] == 1
    assert laptop.receive_until("TYPING_INDICATOR")["data"] == {"is_typing": True}
    said = one.post("/api/send-ai-message", here | {"message": "hello", "message_id": "a1"})
    assert said.json()["delivered_to"] == 1
    assert laptop.receive_until("TYPING_INDICATOR", "AI_RESPONSE")["data"] == {"is_typing": False}
    assert laptop.receive_until("AI_RESPONSE")["data"] == "hello"
    told = one.post("/api/system-messages", {"data": "back soon", "user_id": "kai"})
    assert told.json()["delivered_to"] == 1
    assert laptop.receive_until("SYSTEM")["data"] == {"event": "announcement", "text": "back soon"}
    status = one.post("/api/ai-status", {"ai_id": "ai_alex", "status": "away"})
    assert status.status_code == 200
    assert laptop.receive_until("AI_STATUS")["data"]["status"] == "away"
    assert connect_device(one, "phone").welcome["data"]["ai"]["status"] == "away"


def test_each_node_tells_of_all_nodes(
    two_nodes: tuple[RunningServer, RunningServer], connect_device: Connect
) -> None:
    one, two = two_nodes
    connect_device(two, "laptop")

    def connections() -> list[int]:
        backplane = one.get("/stats").json()["backplane"]
        assert (backplane["backend"], backplane["status"]) == ("redis", "ok")
        assert backplane["nodes"] == len(backplane["members"])
        return sorted(member["connections"] for member in backplane["members"])

    wait_until(lambda: connections() == [0, 1])
    members = one.get("/stats").json()["backplane"]["members"]
    ids = {node.get("/stats").json()["server"]["node_id"] for node in two_nodes}
    assert {member["node_id"] for member in members} == ids
    assert {member["status"] for member in members} == {"ok"}
    assert one.get("/health").json()["checks"] == {"store": "ok", "backplane": "ok"}
