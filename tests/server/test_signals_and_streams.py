"""However a server is started and told to end: it drains, and unread output stops nobody."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2
import pytest

from loadtest.free_port import free_port
from tests.support.device import Connect, Device
from tests.support.server import RunningServer, running_server

SERVE = [sys.executable, "-m", "chatctl", "serve"]
ENDS = 20.0  # seconds
MANY = 4000  # messages, of which each leaves some 700 bytes in the log: more than it keeps


def shell(redirections: str) -> list[str]:
    return ["sh", "-c", f'exec "$0" "$@" {redirections}', *SERVE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_whatever_tells_it_to_end_it_drains(tmp_path: Path, connect_device: Connect, number: int) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        server.process.send_signal(number)
        assert phone.receive_until("SYSTEM")["data"]["event"] == "shutdown"
        assert phone.wait_for_close()[0] == 1001
        assert server.wait() == 0


def test_a_hang_up_drains_and_a_second_one_does_not_cut_that_short(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        server.process.send_signal(signal.SIGHUP)
        assert phone.receive_until("SYSTEM")["data"]["event"] == "shutdown"
        server.process.send_signal(signal.SIGHUP)
        assert phone.wait_for_close()[0] == 1001
        assert server.wait() == 0


def test_under_nohup_a_hang_up_is_ignored(tmp_path: Path) -> None:
    with running_server(tmp_path, ["nohup", *SERVE]) as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)  # long enough for a drain to show
        assert server.get("/health").json()["status"] == "ok"
        assert server.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_that_mean_nothing_do_nothing(tmp_path: Path, number: int) -> None:
    with running_server(tmp_path) as server:
        server.process.send_signal(number)
        time.sleep(0.3)
        assert server.get("/health").json()["status"] == "ok"
        assert server.terminate() == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_with_closed_streams_it_serves_saves_and_ends_in_order(tmp_path: Path, closed: str) -> None:
    with started(shell(closed), tmp_path) as (process, url):
        body = {"user_id": "kai", "ai": {"id": "ai_x", "name": "X"}}
        assert httpx2.post(f"{url}/api/matches", json=body).status_code == 201
        process.terminate()
        assert process.wait(ENDS) == 0
    assert (tmp_path / "chat.db").read_bytes().startswith(b"SQLite format 3")


def test_who_stops_reading_what_it_prints_does_not_end_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(SERVE, tmp_path, stdout=writer) as (process, _):
        os.close(writer)
        process.terminate()
        assert process.wait(ENDS) == 0


def test_a_log_that_nobody_reads_stops_neither_messages_nor_the_end(
    tmp_path: Path, connect_device: Connect
) -> None:
    with unread_log(tmp_path) as log, chatty_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        send_and_await(phone, MANY)
        assert server.get("/health").status_code == 200
        assert server.terminate() == 0
        assert len(log.read()) < 100_000  # what the pipe takes


def test_when_a_log_is_read_again_it_tells_how_much_is_missing_and_goes_on(
    tmp_path: Path, connect_device: Connect
) -> None:
    with unread_log(tmp_path) as log, chatty_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        send_and_await(phone, MANY)
        text = read_until(log, b"log lines were lost")
        phone.say("the-last", "x")
        text += read_until(log, b"the-last")
        assert server.terminate() == 0
    lines = [json.loads(line) for line in text.splitlines()[:-1]]  # each a whole one
    (lost,) = [line for line in lines if line["event"].startswith("log lines were lost")]
    assert (lost["level"], lost["lines"] > 100) == ("warning", True)


@contextmanager
def unread_log(folder: Path) -> Iterator[BinaryIO]:
    """A pipe that takes 64 KiB; the test reads it when it likes, None where there is nothing."""
    os.mkfifo(folder / "log")
    with os.fdopen(os.open(folder / "log", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as log:
        yield log


def read_until(log: BinaryIO, words: bytes) -> bytes:
    """Reads on until the words have come."""
    text, end = b"", time.monotonic() + ENDS
    while words not in text:
        assert time.monotonic() < end, text[-1000:]
        text += log.read() or b""
        time.sleep(0.01)
    return text


def chatty_server(folder: Path) -> AbstractContextManager[RunningServer]:
    return running_server(folder, shell("2>log"), log__level="debug", rate_limit__enabled="false")


def send_and_await(device: Device, count: int) -> None:
    for number in range(count):
        device.say(f"m{number}", "x")
    for _ in range(count):
        device.receive_until("ACK")


@contextmanager
def started(
    command: list[str], folder: Path, stdout: int | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The server, once it answers."""
    port = free_port()
    environment = os.environ | {"CHAT_SERVER__PORT": str(port)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stdout)
    try:
        wait_for_health(url := f"http://127.0.0.1:{port}")
        yield process, url
    finally:
        process.kill()
        process.wait()


def wait_for_health(url: str) -> None:
    for _ in range(200):
        try:
            if httpx2.get(f"{url}/health").is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.1)
    raise AssertionError("it does not answer")
