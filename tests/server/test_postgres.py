"""A real server on a real PostgreSQL, whatever becomes of it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.protocol import CloseCode
from tests.support.device import CONVERSATION, Connect
from tests.support.knock import wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server

HISTORY = f"/api/conversations/{CONVERSATION}/messages?after_seq=0&limit=200"


@pytest.fixture
def node(tmp_path: Path, postgres: PostgresServer, postgres_database: str) -> Iterator[RunningServer]:
    url = postgres.url(postgres_database)
    with running_server(tmp_path, store__url=url, rate_limit__enabled=False) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_of_the_database_costs_no_message(
    node: RunningServer, connect_device: Connect, postgres: PostgresServer, number: int
) -> None:
    phone = connect_device(node, "phone")
    for before in range(20):
        phone.say(f"m{before}", "text")
    postgres.stop(number)
    for meanwhile in range(20, 40):
        phone.say(f"m{meanwhile}", "text")
    postgres.start()
    answers = {
        frame["message_id"]: frame for frame in (phone.receive_until("ACK", "NACK") for _ in range(40))
    }
    found = {frame["message_id"]: frame["seq"] for frame in node.get(HISTORY).json()["items"]}
    assert sorted(found.values()) == list(range(1, len(found) + 1))
    acked = {id: frame["seq"] for id, frame in answers.items() if frame["type"] == "ACK"}
    assert len(acked) == 40, answers
    assert found == acked


def test_while_the_database_is_down_messages_are_refused_and_health_tells(
    tmp_path: Path, connect_device: Connect, postgres: PostgresServer, postgres_database: str
) -> None:
    url = postgres.url(postgres_database)
    with running_server(tmp_path, store__url=url, store__timeout=0.5) as server:
        phone = connect_device(server, "phone")
        postgres.stop(signal.SIGQUIT)
        try:
            phone.say("m1", "text")
            assert phone.receive_until("NACK")["error"]["code"] == "store_unavailable"
            assert server.get("/health").json()["status"] != "ok"
        finally:
            postgres.start()
        phone.say("m2", "text")
        assert phone.receive_until("ACK")["seq"] == 1
        wait_until(lambda: server.get("/health").json()["status"] == "ok", 15)
        assert [frame["message_id"] for frame in server.get(HISTORY).json()["items"]] == ["m2"]


def test_after_a_failover_devices_come_back_to_another_epoch(
    node: RunningServer, connect_device: Connect, postgres: PostgresServer, postgres_database: str
) -> None:
    phone = connect_device(node, "phone")
    epoch = phone.welcome["data"]["epoch"]
    phone.say("m1", "text")
    phone.receive_until("ACK")
    postgres.stop()
    postgres.start()
    postgres.sql("UPDATE origin SET identity = 'another'", postgres_database)
    phone.say("m2", "text")
    assert phone.wait_for_close()[0] == CloseCode.INTERNAL_ERROR
    again = connect_device(node, "phone")
    assert again.welcome["data"]["epoch"] != epoch
