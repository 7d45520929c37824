"""`chatctl serve --workers N`: several processes on one port, on a real PostgreSQL and a real Valkey."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.protocol import CloseCode
from tests.support.device import Connect, connector
from tests.support.knock import wait_until
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server
from tests.support.valkey_server import ValkeyServer

WORKERS = 2


@pytest.fixture
def shared(postgres: PostgresServer, postgres_database: str, valkey: ValkeyServer) -> dict[str, Any]:
    """What the settings of all workers name."""
    return {
        "server__workers": WORKERS,
        "store__url": postgres.url(postgres_database),
        "store__pool": 3,
        "backplane__url": valkey.url(),
    }


@pytest.fixture
def machine(tmp_path: Path, shared: dict[str, Any]) -> Iterator[RunningServer]:
    with running_server(tmp_path, **shared, server__shutdown_grace=6) as server:
        yield server


@pytest.fixture(scope="module")
def lasting(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, valkey_process: ValkeyServer
) -> Iterator[RunningServer]:
    """A machine for the tests that leave it as it was: a start takes seconds."""
    folder, database = tmp_path_factory.mktemp("machine"), postgres.create_database()
    shared = {"store__url": postgres.url(database), "store__pool": 3, "backplane__url": valkey_process.url()}
    with running_server(folder, **shared, server__workers=WORKERS) as server:
        yield server
    postgres.drop_database(database)


def workers_of(server: RunningServer) -> list[int]:
    """The process ids of the supervisor's children."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def health(server: RunningServer) -> str:
    """The status by GET /health; a worker that died or stopped may take the question with it."""
    try:
        return str(httpx2.get(server.url + "/health", timeout=2).json()["status"])
    except httpx2.TransportError:
        return "no answer"


def is_gone(pid: int) -> bool:
    """Also where nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def many_devices(server: RunningServer, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        connect = connector(stack)
        for number in range(count):
            connect(server, f"client{number}", f"user{number // 2}", f"c{number // 2}")
        yield


def test_the_devices_are_spread_over_the_workers_and_the_figures_are_of_all(machine: RunningServer) -> None:
    with many_devices(machine, 40):
        stats = [machine.get("/stats").json() for _ in range(12)]
        for each in stats:
            found = each["connections"]
            assert (found["current"], found["users"], found["conversations"]) == (40, 20, 20)
            assert each["server"]["pid"] == machine.process.pid
        assert len({each["server"]["node_id"] for each in stats}) > 1  # by whoever answers
        rows = machine.get("/stats/conversations?limit=100").json()
        assert [row["devices"] for row in rows["items"]] == [2] * 20
        assert len(machine.get("/stats/connections?limit=100").json()["items"]) == 40
        events = machine.get("/stats/events?limit=30").json()
        times = [event["at"] for event in events["items"]]
        assert (len(times), events["has_more"]) == (30, True)
        assert times == sorted(times, reverse=True)
        metrics = {m.name: m for m in text_string_to_metric_families(machine.get("/metrics").text)}
        assert metrics["chat_connections"].samples[0].value == 40
        assert metrics["chat_connections_opened"].samples[0].value == 40
    assert machine.terminate() == 0


def test_a_worker_that_dies_is_started_anew_and_meanwhile_the_health_says_so(
    lasting: RunningServer, connect_device: Connect
) -> None:
    machine = lasting
    before = workers_of(machine)
    assert len(before) == WORKERS
    assert health(machine) == "ok"
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: health(machine) == "unavailable")
    wait_until(lambda: health(machine) == "ok")
    after = workers_of(machine)
    assert len(after) == WORKERS and len(set(after) & set(before)) == WORKERS - 1
    for number in range(10):
        phone = connect_device(machine, f"phone{number}", conversation=f"new{number}")
        phone.say("m1", "text")
        assert phone.receive_until("ACK")["seq"] == 1
    assert "a worker ended, it is started anew" in machine.errors


def test_a_stopped_worker_makes_the_health_unavailable_and_the_others_answer(lasting: RunningServer) -> None:
    stopped = workers_of(lasting)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_until(lambda: health(lasting) == "unavailable", 20)
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: health(lasting) == "ok")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_a_signal_drains_all_workers(machine: RunningServer, connect_device: Connect, number: int) -> None:
    devices = [connect_device(machine, f"client{n}", conversation=f"c{n}") for n in range(6)]
    for device in devices:
        device.say("m1", "text")
    pids = workers_of(machine)
    code = machine.terminate(number)
    for device in devices:
        assert {"ACK", "SYSTEM"} <= {device.receive()["type"] for _ in range(3)}
        assert device.wait_for_close()[0] == CloseCode.GOING_AWAY
    assert code == 0
    assert all(map(is_gone, pids))


def test_a_signal_to_the_whole_group_is_one_drain_not_two(tmp_path: Path, shared: dict[str, Any]) -> None:
    """As a terminal's Ctrl-C and systemd do it: each gets the signal, and the supervisor passes it on."""
    with running_server(tmp_path, **shared) as server:
        with ExitStack() as stack:
            device = connector(stack)(server, "phone")
            for pid in [*workers_of(server), server.process.pid]:
                os.kill(pid, signal.SIGTERM)
            assert device.receive_until("SYSTEM")["data"]["event"] == "shutdown"
            assert device.wait_for_close()[0] == CloseCode.GOING_AWAY
        assert server.wait() == 0


def test_a_second_signal_ends_at_once(machine: RunningServer) -> None:
    pids = workers_of(machine)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    machine.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert machine.terminate() == 130
    assert all(map(is_gone, pids))


def test_workers_that_do_not_end_are_killed_after_the_grace(tmp_path: Path, shared: dict[str, Any]) -> None:
    with running_server(tmp_path, **shared, server__shutdown_grace=1, store__timeout=0.5) as server:
        pids = workers_of(server)
        os.kill(pids[1], signal.SIGSTOP)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 6
        assert all(map(is_gone, pids))


def test_workers_end_in_order_when_their_supervisor_is_killed(
    machine: RunningServer, connect_device: Connect
) -> None:
    device = connect_device(machine, "phone")
    pids = workers_of(machine)
    machine.kill()
    assert device.receive_until("SYSTEM")["data"]["event"] == "shutdown"
    assert device.wait_for_close()[0] == CloseCode.GOING_AWAY
    wait_until(lambda: all(map(is_gone, pids)))


def test_a_drain_empties_all_workers_and_its_undoing_opens_them_again(
    lasting: RunningServer, connect_device: Connect
) -> None:
    machine = lasting
    devices = [connect_device(machine, f"client{n}", conversation=f"c{n}") for n in range(9)]
    assert machine.post("/api/drain", {"per_second": 1000}).json()["connections"] == 9
    for device in devices:
        assert device.wait_for_close()[0] == CloseCode.GOING_AWAY
    assert {health(machine) for _ in range(6)} == {"draining"}
    assert httpx2.delete(machine.url + "/api/drain").status_code == 204
    assert {health(machine) for _ in range(6)} == {"ok"}
    for number in range(9):
        connect_device(machine, f"again{number}", conversation=f"c{number}")


def test_what_is_wrong_for_all_workers_is_said_once(tmp_path: Path, shared: dict[str, Any]) -> None:
    shared["store__url"] = shared["store__url"].rpartition("/")[0] + "/no_such_database"
    failed = RunningServer.attempt(tmp_path, **shared)
    assert failed.returncode == 2
    assert failed.stderr.count("chatctl: store.url") == 1
    assert "Traceback" not in failed.stderr


def test_a_port_of_another_server_is_refused_though_it_is_shared(
    tmp_path: Path, shared: dict[str, Any], lasting: RunningServer
) -> None:
    failed = RunningServer.attempt(tmp_path, **shared, server__port=lasting.port)
    assert failed.returncode == 2
    assert "server.port" in failed.stderr.splitlines()[-1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        failed = RunningServer.attempt(tmp_path, **shared, server__port=other.getsockname()[1])
    assert failed.returncode == 2


@pytest.mark.parametrize("missing", ["store__url", "backplane__url"])
def test_several_workers_need_a_shared_store_and_a_backplane(
    tmp_path: Path, shared: dict[str, Any], missing: str
) -> None:
    del shared[missing]
    failed = RunningServer.attempt(tmp_path, **shared)
    assert failed.returncode == 2
    [line] = failed.stderr.splitlines()
    assert f"server.workers = {WORKERS}" in line and "above 1 needs" in line
