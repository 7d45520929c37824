"""The disk stalls: who waits for it is answered in time, and nobody else notices."""

import signal
import threading
import time
from contextlib import ExitStack
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
ALIVE_SECONDS = 0.5  # a tenth of it, where nothing else runs on the machine
# Enough for the server to know that commits are quick here, and so to wait for one.
WARM_UP = 300


class LivenessProbe(threading.Thread):
    """Asks whether the process is alive, again and again; `slowest` is the longest answer, in seconds."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(daemon=True)
        self._client = httpx2.Client(base_url=server.url)
        self._client.get("/health/live")
        self._is_over = threading.Event()
        self.slowest = 0.0
        self.answers = 0

    def run(self) -> None:
        while not self._is_over.wait(0.05):
            asked = time.monotonic()
            assert self._client.get("/health/live").status_code == 200
            self.slowest = max(self.slowest, time.monotonic() - asked)
            self.answers += 1

    def stop(self) -> None:
        self._is_over.set()
        self.join()
        self._client.close()


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


def test_a_stalled_commit_is_answered_at_the_timeout_and_holds_up_nothing_else(tmp_path: Path) -> None:
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
            probe = LivenessProbe(server)
            probe.start()
            sent = time.monotonic()
            answer = device.ask(_message("stalled"))
            waited = time.monotonic() - sent
            probe.stop()
            assert (answer["type"], answer["error"]["code"]) == ("NACK", "outcome_unknown")
            assert STORE_TIMEOUT <= waited < STORE_TIMEOUT + 1
            assert probe.answers > 10
            assert probe.slowest < ALIVE_SECONDS
            server.process.send_signal(signal.SIGTERM)
            assert _has_ended_within(GRACE + 0.5, server)
        assert server.wait() == 0


def test_what_a_stall_left_open_is_delivered_when_it_was_saved_after_all(tmp_path: Path) -> None:
    with ExitStack() as stack, running_server(tmp_path, store__timeout=0.5) as server:
        device = connector(stack)(server, "phone")
        with stalled_syncs(server.process.pid, 2):
            assert device.ask(_message("stalled"))["error"]["code"] == "outcome_unknown"
            assert device.receive_until("CHAT_MESSAGE")["message_id"] == "stalled"
            assert device.ask(_message("stalled"))["type"] == "ACK"


def test_now_and_then_a_slow_sync_holds_up_nobody_but_those_who_wait_for_it(tmp_path: Path) -> None:
    with ExitStack() as stack, running_server(tmp_path, rate_limit__enabled=False) as server:
        device = connector(stack)(server, "phone")
        _warm_up(device)
        with stalled_syncs(server.process.pid, 0.5, when="1+50"):
            probe = LivenessProbe(server)
            probe.start()
            for number in range(150):
                assert device.ask(_message(f"slow-{number}"))["type"] == "ACK"
            probe.stop()
    assert probe.slowest < ALIVE_SECONDS


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
