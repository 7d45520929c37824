"""The disk stalls: who waits for it is answered in time, and nobody else notices."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.device import CONVERSATION, Device, connector
from tests.support.server import RunningServer, running_server
from tests.support.stalled_disk import stalled_syncs

STALL_SECONDS = 12.0
STORE_TIMEOUT = 2.0
GRACE = 4.0
ALIVE_SECONDS = 0.1  # more than what a server without a stall takes at the same time, on the same machine
# Enough for the server to know that commits are quick here, and so to wait for one.
WARM_UP = 300


class HealthProbe(threading.Thread):
    """Asks a process how it is, again and again; `slowest` is the longest answer, in seconds."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(daemon=True)
        self._client = httpx2.Client(base_url=server.url)
        self._client.get("/health")
        self._is_over = threading.Event()
        self.slowest = 0.0
        self.answers = 0
        self.has_failed = False

    def run(self) -> None:
        while not self._is_over.wait(0.02):
            asked = time.monotonic()
            self._client.get("/health")  # 503 where it says so: what counts is that it says it at once
            self.has_failed |= self._client.get("/health/live").status_code != 200
            self.slowest = max(self.slowest, time.monotonic() - asked)
            self.answers += 1

    def stop(self) -> None:
        self._is_over.set()
        self.join()
        self._client.close()


@contextmanager
def noticing_no_stall(server: RunningServer, control: RunningServer) -> Iterator[None]:
    """Asks both how they are meanwhile: the one is as quick to answer as the other, but for ALIVE_SECONDS.

    Where the whole machine is short of time, so are both.
    """
    probes = HealthProbe(server), HealthProbe(control)
    for probe in probes:
        probe.start()
    yield
    for probe in probes:
        probe.stop()
    asked, quiet = probes
    assert not asked.has_failed
    assert asked.answers > 10
    assert asked.slowest < quiet.slowest + ALIVE_SECONDS


@pytest.fixture
def control(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose disk does not stall."""
    folder = tmp_path / "control"
    folder.mkdir()
    with running_server(folder) as server:
        yield server


def _warm_up(device: Device) -> None:
    for number in range(WARM_UP):
        assert device.ask(_message(f"warm-{number}"))["type"] == "ACK"


def _message(message_id: str) -> dict[str, str]:
    return {"type": "CHAT_MESSAGE", "message_id": message_id, "data": "hello"}


def _has_ended_within(seconds: float, server: RunningServer) -> bool:
    """Tell it by the state of the main thread, since a traced thread's end waits for the tracer."""
    end = time.monotonic() + seconds
    state = Path(f"/proc/{server.process.pid}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "Z":
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_stalled_commit_is_answered_at_the_timeout_and_holds_up_nothing_else(
    tmp_path: Path, control: RunningServer
) -> None:
    with (
        ExitStack() as stack,
        running_server(
            tmp_path,
            store__timeout=STORE_TIMEOUT,
            server__shutdown_grace=GRACE,
            rate_limit__enabled=False,
        ) as server,
    ):
        device = connector(stack)(server, "phone")
        _warm_up(device)
        with stalled_syncs(server.process.pid, STALL_SECONDS):
            with noticing_no_stall(server, control):
                sent = time.monotonic()
                answer = device.ask(_message("stalled"))
                waited = time.monotonic() - sent
                time.sleep(1)
            assert (answer["type"], answer["error"]["code"]) == ("NACK", "outcome_unknown")
            assert STORE_TIMEOUT <= waited < STORE_TIMEOUT + 1
            server.process.send_signal(signal.SIGTERM)
            assert _has_ended_within(GRACE, server)
        assert server.wait() == 0


def test_what_a_stall_left_open_is_delivered_when_it_was_saved_after_all(tmp_path: Path) -> None:
    with ExitStack() as stack, running_server(tmp_path, store__timeout=0.5) as server:
        device = connector(stack)(server, "phone")
        with stalled_syncs(server.process.pid, 2):
            assert device.ask(_message("stalled"))["error"]["code"] == "outcome_unknown"
            assert device.receive_until("CHAT_MESSAGE")["message_id"] == "stalled"
            assert device.ask(_message("stalled"))["type"] == "ACK"


def test_now_and_then_a_slow_sync_holds_up_nobody_but_those_who_wait_for_it(
    tmp_path: Path, control: RunningServer
) -> None:
    with ExitStack() as stack, running_server(tmp_path, rate_limit__enabled=False) as server:
        device = connector(stack)(server, "phone")
        _warm_up(device)
        with stalled_syncs(server.process.pid, 0.5, when="1+50"), noticing_no_stall(server, control):
            for number in range(150):
                assert device.ask(_message(f"slow-{number}"))["type"] == "ACK"


def test_a_deletion_that_takes_longer_than_its_caller_waits_is_told_to_the_devices_in_the_end(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack, running_server(tmp_path, store__timeout=0.5) as server:
        connect = connector(stack)
        phone = connect(server, "phone")
        assert phone.ask(_message("m1"))["type"] == "ACK"
        with stalled_syncs(server.process.pid, 3), httpx2.Client(base_url=server.url) as client:
            assert client.delete(f"/api/conversations/{CONVERSATION}").status_code == 503
            with pytest.raises(
                ConnectionClosed
            ) as refusal:  # who comes meanwhile does not get into a dead room
                connect(server, "tablet")
            assert refusal.value.rcvd is not None and refusal.value.rcvd.code == 1013
            assert phone.wait_for_close()[0] == 1000
        anew = connect(server, "phone")
        assert anew.welcome["data"]["last_seq"] == 0
        assert anew.ask(_message("m1"))["type"] == "ACK"
