"""Attacks that use something up: file descriptors, memory, places. What is used up comes back."""

import os
import resource
import socket
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.device import Connect
from tests.support.knock import OK, knock, verdict, wait_until
from tests.support.server import RunningServer, running_server
from tests.support.wire import upgrade_request

SPARE = 8  # descriptors left to the server
on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")


def descriptors(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def cpu_seconds(server: RunningServer) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def stats(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/stats").json()
    return found


@on_linux
def test_a_server_without_descriptors_serves_whom_it_has_does_not_spin_and_recovers(
    server: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(server, "phone")
    limit = descriptors(server) + SPARE
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as flood:
        for _ in range(3 * SPARE):
            flood.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        wait_until(lambda: descriptors(server) == limit)
        started = cpu_seconds(server)
        for number in range(20):
            phone.say(f"m{number}", "still here")
            assert phone.receive_until("ACK")["message_id"] == f"m{number}"
        assert cpu_seconds(server) - started < 0.5
    wait_until(lambda: descriptors(server) <= limit - SPARE)
    with knock(server, user="ben") as newcomer:
        assert verdict(newcomer) == OK
    assert "Traceback" not in server.errors


@on_linux
def test_a_shells_low_limit_of_open_files_is_raised_to_what_the_system_allows(tmp_path: Path) -> None:
    in_a_shell = ["sh", "-c", f"ulimit -Sn 256; exec {sys.executable} -m chatctl serve"]
    with running_server(tmp_path, in_a_shell) as server:
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@on_linux
def test_figures_are_told_though_no_descriptor_is_left(server: RunningServer) -> None:
    with httpx2.Client(base_url=server.url) as operator:
        operator.get("/stats")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (1, 1))
        assert operator.get("/stats").json()["process"]["rss_bytes"] > 1_000_000
        assert operator.get("/metrics").status_code == 200


def open_and_close(server: RunningServer, count: int) -> None:
    """Devices of ten users that come and go without a word, half of them before the handshake is answered."""
    for number in range(count):
        path = f"/ws/user{number % 10}?conversation_id=c{number % 10}&client_id=d{number}"
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(upgrade_request(path))
            if number % 2:
                peer.recv(12)


def test_after_a_thousand_opens_and_closes_counters_and_memory_are_back(tmp_path: Path) -> None:
    with running_server(tmp_path, rate_limit__enabled=False) as server:
        open_and_close(server, 1000)  # fills what is kept of events and of devices that are away
        wait_until(lambda: stats(server)["connections"]["current"] == 0)
        before = stats(server)
        open_and_close(server, 1000)
        wait_until(lambda: stats(server)["connections"]["current"] == 0)
        after = stats(server)
        assert after["connections"]["users"] == after["connections"]["conversations"] == 0
        opened = after["connections"]["total"]
        assert sum(after["connections"]["closed"].values()) == opened >= 1000
        assert after["process"]["rss_bytes"] - before["process"]["rss_bytes"] < 3_000_000
        with ExitStack() as stack:  # every place of the address and of a user is free
            for number in range(20):
                device = stack.enter_context(knock(server, conversation=f"kais{number}"))
                assert verdict(device) == OK


@on_linux
def test_joins_of_who_has_gone_meanwhile_are_not_carried_out(
    server: RunningServer, connect_device: Connect, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "chat.db", isolation_level=None)) as other:
        before = descriptors(server)
        other.execute("BEGIN IMMEDIATE")  # creations wait, and so does who asked for them
        with ExitStack() as crowd:
            for number in range(20):
                peer = crowd.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                peer.sendall(upgrade_request(f"/ws/user{number}?conversation_id=gone{number}"))
            wait_until(lambda: descriptors(server) == before + 20)
            time.sleep(0.3)  # for the last one's handshake
        wait_until(lambda: descriptors(server) == before)
        other.execute("ROLLBACK")
        connect_device(server, "phone", user="kai", conversation="there")
        found = other.execute("SELECT id FROM conversations WHERE id LIKE 'gone%'").fetchall()
    assert found == []
    assert stats(server)["connections"]["total"] == 1
