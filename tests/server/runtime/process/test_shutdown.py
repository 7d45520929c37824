"""Protocol, section 5: a server that ends answers what had reached it, and says good-bye to everybody."""

import asyncio
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from server.core.model import Draft, Outcome, StoredMessage
from server.protocol import CloseCode
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import Connect, Device
from tests.support.scripted_commits import ScriptedCommits
from tests.support.server import RunningServer, running_server
from tests.support.stage import Stage

BURST = 3000  # more than a connection may have unanswered: most of it waits in socket buffers


@pytest.fixture
def free_server(tmp_path: Path) -> Iterator[RunningServer]:
    """Without a rate limit."""
    with running_server(tmp_path, rate_limit__enabled="false", store__timeout=1.0) as it:
        yield it


def _frames_until_close(device: Device) -> tuple[list[dict[str, Any]], int]:
    frames = []
    try:
        while True:
            frames.append(json.loads(device.socket.recv(timeout=15)))
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return frames, end.rcvd.code


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(5000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


def _burst(device: Device) -> None:
    for number in range(BURST):
        device.say(f"m{number}", "text")


def test_everything_that_had_arrived_is_answered_and_then_the_close_is_1001(
    free_server: RunningServer, connect_device: Connect, tmp_path: Path
) -> None:
    phone = connect_device(free_server, "phone")
    _burst(phone)
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(_frames_until_close, phone)
        assert free_server.terminate() == 0
        frames, code = reading.result(20)
    answers = {f["message_id"]: f for f in frames if f["type"] in ("ACK", "NACK")}
    assert code == CloseCode.GOING_AWAY
    assert set(answers) == {f"m{number}" for number in range(BURST)}
    refusals = [f["error"] for f in answers.values() if f["type"] == "NACK"]
    assert {e["code"] for e in refusals} <= {"shutting_down"}
    stored = {
        row[0] for row in sqlite3.connect(tmp_path / "chat.db").execute("SELECT message_id FROM messages")
    }
    assert stored == {name for name, f in answers.items() if f["type"] == "ACK"}


def test_each_device_hears_of_the_shutdown_with_a_reconnect_after_of_its_own(
    server: RunningServer, connect_device: Connect
) -> None:
    devices = [connect_device(server, f"device{number}") for number in range(8)]
    assert server.terminate() == 0
    told = []
    for device in devices:
        frames, code = _frames_until_close(device)
        (shutdown,) = [
            f["data"] for f in frames if f["type"] == "SYSTEM" and f["data"]["event"] == "shutdown"
        ]
        told.append(shutdown["reconnect_after"])
        assert code == CloseCode.GOING_AWAY
    assert len(set(told)) > 4
    assert all(0 < after < 10 for after in told)


def test_with_a_locked_database_everything_is_answered_and_the_exit_is_in_time(
    free_server: RunningServer, connect_device: Connect, tmp_path: Path
) -> None:
    phone = connect_device(free_server, "phone")
    other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    _burst(phone)
    started = time.monotonic()
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(_frames_until_close, phone)
        assert free_server.terminate() == 0
        frames, code = reading.result(20)
    assert time.monotonic() - started < 10  # server.shutdown_grace
    other.execute("ROLLBACK")
    answers = [f["error"]["code"] for f in frames if f["type"] == "NACK"]
    assert set(answers) <= {"store_unavailable", "shutting_down"}
    assert (len(answers), code) == (BURST, CloseCode.GOING_AWAY)
    assert other.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    other.close()


def test_a_peer_that_never_answers_the_close_does_not_keep_the_server_beyond_its_grace(
    tmp_path: Path,
) -> None:
    with (
        running_server(tmp_path, server__shutdown_grace=2.0, store__timeout=1.0) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        silent.sendall(
            b"GET /ws/kai?conversation_id=c HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b"101" in silent.recv(100)
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 6


def test_new_connections_are_refused_while_the_server_ends(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path, store__timeout=3.0) as server:
        phone = connect_device(server, "phone")
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        phone.say("m1", "keeps the shutdown waiting")
        server.process.send_signal(signal.SIGTERM)
        phone.receive_until("SYSTEM")
        with pytest.raises((OSError, ConnectionClosed)):
            connect_device(server, "tablet")
        other.close()
        assert server.wait() == 0


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path, store__timeout=8.0) as server:
        phone = connect_device(server, "phone")
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        phone.say("m1", "keeps the shutdown waiting")
        server.process.send_signal(signal.SIGINT)
        phone.receive_until("SYSTEM")
        started = time.monotonic()
        server.terminate(signal.SIGINT)
        assert time.monotonic() - started < 5  # far below store.timeout and shutdown_grace
        other.close()


@asynchronous
async def test_a_resend_of_a_saved_message_is_not_denied_while_draining() -> None:
    """A NACK would say that it was never saved."""
    stage = Stage(MemoryStore())
    phone = await stage.join("phone")
    phone.say("saved")
    await stage.settle()
    stage.receiver.is_draining = True
    phone.say("saved")
    phone.say("new")
    await stage.settle()
    assert [(f["type"], f["message_id"], f.get("duplicate")) for f in phone.answers] == [
        ("ACK", "saved", None),
        ("ACK", "saved", True),
        ("NACK", "new", None),
    ]
    assert phone.answers[-1]["error"] == {"code": "shutting_down", "retryable": True}


@asynchronous
async def test_nobody_is_closed_before_all_that_he_said_is_answered() -> None:
    class Slow(MemoryStore):
        """Takes its time to tell whether a message is a resend."""

        goes_on = asyncio.Event()

        async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
            await self.goes_on.wait()
            return await super().find_message(key, message_id)

    stage = Stage(store := Slow())
    phone, silent = await stage.join("phone"), await stage.join("silent", conversation="other")
    drain = asyncio.create_task(stage.shutdown.drain())
    await _until(lambda: stage.receiver.is_draining)
    phone.say("late")
    await _until(lambda: silent.socket.closed is not None)
    await asyncio.sleep(0.02)  # some rounds of closing
    codes = [phone.connection.close_code]
    store.goes_on.set()
    await drain
    codes.append(phone.connection.close_code)
    assert [f["error"]["code"] for f in phone.answers] == ["shutting_down"]
    assert codes == [None, CloseCode.GOING_AWAY]


@asynchronous
async def test_a_node_that_is_emptied_answers_each_device_before_it_closes_it() -> None:
    class Waiting(MemoryStore):
        """Commits when the test says so."""

        commits: ScriptedCommits[Draft, Outcome] = ScriptedCommits()
        save = commits.save

    stage = Stage(store := Waiting())
    phone = await stage.join("phone")
    phone.say("m1")
    emptying = asyncio.create_task(stage.shutdown.empty(per_second=1000))
    await asyncio.sleep(0.02)  # some rounds of waiting
    codes = [phone.connection.close_code]
    store.commits.batches[0].claim()
    store.commits.answers[0].set_result([Outcome.saved(1)])
    await emptying
    codes.append(phone.connection.close_code)
    assert codes == [None, CloseCode.GOING_AWAY]
    events = [f["data"]["event"] if f["type"] == "SYSTEM" else f["type"] for f in phone.socket.frames]
    assert events == ["connected", "shutdown", "CHAT_MESSAGE", "ACK"]


@asynchronous
async def test_who_is_never_answered_is_closed_within_the_grace() -> None:
    stage = Stage(MemoryStore(), shutdown_grace=1.0)
    phone = await stage.join("phone")
    phone.connection.begin_answer()
    async with asyncio.timeout(1.0):
        await stage.shutdown.drain()
    assert phone.socket.closed is not None


@asynchronous
async def test_who_goes_on_sending_does_not_hold_the_shutdown_up() -> None:
    stage = Stage(MemoryStore())
    phone = await stage.join("phone")
    drain = asyncio.create_task(stage.shutdown.drain())
    number = 0
    async with asyncio.timeout(4.0):  # half of the time until which a drain may wait
        while not drain.done():
            phone.say(f"m{number}")
            number += 1
            await asyncio.sleep(0.001)
    await drain
    ids = [f["message_id"] for f in phone.answers]
    assert ids == [f"m{n}" for n in range(len(ids))]
    assert {f["type"] for f in phone.answers} == {"ACK", "NACK"}


@asynchronous
async def test_the_end_of_the_process_is_not_called_off() -> None:
    stage = Stage(MemoryStore())
    assert stage.shutdown.stop_emptying()
    draining = asyncio.create_task(stage.shutdown.drain())
    await asyncio.sleep(0)
    assert not stage.shutdown.stop_emptying()
    assert stage.shutdown.is_draining
    await draining
