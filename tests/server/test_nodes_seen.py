"""What operators see of the nodes: who is alive or down, and whether they hear of each other."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from loadtest.cluster.cluster import Cluster, cluster
from loadtest.plan import SCENARIOS
from tests.chatctl.conftest import Run, chatctl
from tests.support.postgres_server import PostgresServer
from tests.support.valkey_server import ValkeyServer

__all__ = ["chatctl"]  # a fixture


@pytest.fixture(scope="module")
def two(postgres: PostgresServer, valkey_process: ValkeyServer) -> Iterator[Cluster]:
    """Skipped where the programs are missing: the services of the tests say so."""
    with cluster(2, SCENARIOS["cluster"].server) as it:
        assert it.heal(10.0) == []
        yield it


def backplane(two: Cluster, number: int = 0) -> dict[str, Any]:
    section: dict[str, Any] = httpx2.get(f"{two.urls[number]}/stats").json()["backplane"]
    return section


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_each_node_knows_all_of_them(two: Cluster) -> None:
    for number in (0, 1):
        told = backplane(two, number)
        assert (told["backend"], told["status"], told["nodes"]) == ("redis", "ok", 2)
        assert {member["status"] for member in told["members"]} == {"ok"}
        assert set(told["members"][0]) >= {
            "node_id",
            "started_at",
            "connections",
            "messages_per_second",
            "status",
            "version",
        }
        assert "chat_nodes 2.0" in httpx2.get(f"{two.urls[number]}/metrics").text


def test_without_its_backplane_a_node_goes_on_and_says_so(two: Cluster, chatctl: Run) -> None:
    two.valkey.stop()
    until(lambda: backplane(two)["status"] == "unavailable")
    health = httpx2.get(f"{two.urls[0]}/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["checks"] == {"store": "ok", "backplane": "unavailable"}
    assert "cannot reach the backplane" in chatctl("nodes", "--url", two.urls[0]).err
    two.valkey.start()
    assert two.heal(10.0) == []
    assert httpx2.get(f"{two.urls[0]}/health").json()["checks"]["backplane"] == "ok"


def test_a_node_that_was_killed_is_down_and_one_that_ended_is_gone(two: Cluster, chatctl: Run) -> None:
    until(lambda: backplane(two)["nodes"] == 2)
    node_id = httpx2.get(f"{two.urls[1]}/stats").json()["server"]["node_id"]
    two.nodes[1].end(signal.SIGKILL)
    until(lambda: backplane(two)["nodes"] == 1)
    (lost,) = (member for member in backplane(two)["members"] if member["node_id"] == node_id)
    assert lost["status"] == "down"
    shown = chatctl("nodes", "--url", two.urls[0]).out
    (line,) = (line for line in shown.splitlines() if node_id in line)
    assert "down" in line
    two.nodes[1].start()
    until(lambda: backplane(two)["nodes"] == 2)
    assert two.nodes[1].end(signal.SIGTERM) == 0
    until(lambda: backplane(two)["nodes"] == 1)
    assert [member["status"] for member in backplane(two)["members"]].count("ok") == 1
    two.nodes[1].start()
