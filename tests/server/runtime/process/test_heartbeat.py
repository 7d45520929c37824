"""Protocol, section 6: PING, PONG and 4001."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from server.protocol import CloseCode
from server.runtime.base import batches as batches_module
from server.runtime.messages import receiver as receiver_module
from server.runtime.process import heartbeat as module
from server.runtime.process.heartbeat import Heartbeat
from server.runtime.rooms import room as room_module
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import Connect
from tests.support.server import running_server
from tests.support.stage import Stage, StageDevice

INTERVAL, TIMEOUT = 10.0, 25.0


class Clock:
    """Monotonic seconds that pass only in sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stall = 0.0  # how much later than asked the next sleep ends
        self.stop = 0.0  # for how long the process is stopped when it next yields within a sweep

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.stall
        self.stall = 0.0
        if not seconds:
            self.now, self.stop = self.now + self.stop, 0.0
        await asyncio.sleep(0)


class Beating:
    """A stage whose heartbeat runs by the test's clock."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, time=clock.monotonic))
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=clock.sleep))
        now = SimpleNamespace(monotonic=clock.monotonic, time_ns=time.time_ns)
        monkeypatch.setattr(receiver_module, "time", now)
        monkeypatch.setattr(room_module, "time", now)
        self.stage = Stage(MemoryStore())
        self.sweeper = Heartbeat(
            self.stage.manager, self.stage.replies, self.stage.metrics, (), INTERVAL, TIMEOUT
        )

    async def join(self, client_id: str) -> StageDevice:
        device = await self.stage.join(client_id)
        info = device.connection.info
        info.last_heartbeat = info.last_ping = info.last_writable = self.clock.now
        return device

    async def beat_until(self, now: float, each: Any = lambda: None) -> None:
        task = asyncio.create_task(self.sweeper.beat())
        while self.clock.now < now:
            each()
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        self.stage.replies.flush()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _pings(device: StageDevice) -> int:
    return sum(1 for frame in device.socket.frames if frame["type"] == "PING")


def _code(device: StageDevice) -> int | None:
    return device.connection.close_code


@asynchronous
async def test_a_ping_every_interval_while_the_device_answers(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    device = await it.join("phone")

    def answer() -> None:
        device.connection.info.last_heartbeat = clock.now

    await it.beat_until(1000 + 5 * INTERVAL + 3, answer)
    assert _pings(device) in (4, 5)  # each comes up to one look late
    assert device.socket.closed is None


@asynchronous
async def test_no_sign_of_life_for_the_timeout_closes_with_4001_and_harms_no_other(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    dead, living = await it.join("dead"), await it.join("living")

    def answer() -> None:
        living.connection.info.last_heartbeat = clock.now

    await it.beat_until(1000 + TIMEOUT - 1, answer)
    assert _code(dead) is None
    await it.beat_until(1000 + TIMEOUT + 2, answer)
    assert _code(dead) == CloseCode.HEARTBEAT_TIMEOUT
    assert _code(living) is None


@pytest.mark.parametrize(
    "frame", [{"type": "PONG"}, {"type": "PING"}, {"type": "CHAT_MESSAGE", "message_id": "m1"}, "nonsense"]
)
@asynchronous
async def test_any_frame_is_a_sign_of_life_for_the_timeout_after_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, frame: Any
) -> None:
    it = Beating(clock, monkeypatch)
    device = await it.join("phone")
    await it.beat_until(1000 + TIMEOUT - 3)
    device.send(frame)
    await it.beat_until(1000 + 2 * TIMEOUT - 4)
    assert _code(device) is None
    await it.beat_until(1000 + 2 * TIMEOUT)
    assert _code(device) == CloseCode.HEARTBEAT_TIMEOUT


@asynchronous
async def test_time_in_which_the_process_stood_still_is_nobodys_silence(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    device = await it.join("phone")
    clock.stall = 10 * TIMEOUT
    await it.beat_until(1000 + 10 * TIMEOUT + TIMEOUT - 2)
    assert _code(device) is None
    await it.beat_until(1000 + 10 * TIMEOUT + TIMEOUT + 3)
    assert _code(device) == CloseCode.HEARTBEAT_TIMEOUT


@asynchronous
async def test_also_when_it_stood_still_in_the_middle_of_a_sweep(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "BATCH_SIZE", 1)
    it = Beating(clock, monkeypatch)
    devices = [await it.join("first"), await it.join("second")]
    clock.stop = 10 * TIMEOUT
    await it.beat_until(1000 + 10 * TIMEOUT + TIMEOUT - 2)
    assert [_code(device) for device in devices] == [None, None]
    await it.beat_until(1000 + 10 * TIMEOUT + TIMEOUT + 3)
    assert [_code(device) for device in devices] == [CloseCode.HEARTBEAT_TIMEOUT] * 2


@asynchronous
async def test_a_device_that_we_do_not_read_is_not_taken_for_dead(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    device = await it.join("phone")
    for _ in range(300):
        device.connection.begin_answer()
    await it.beat_until(1000 + 3 * TIMEOUT)
    assert _code(device) is None


@pytest.mark.parametrize("reads", [True, False])
@asynchronous
async def test_a_device_that_we_do_not_read_is_dead_once_it_does_not_read_either(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """It may be sent a replay that it never takes in."""
    it = Beating(clock, monkeypatch)
    device = await it.join("phone")
    for _ in range(300):
        device.connection.begin_answer()
    device.socket.is_writable = False
    await it.beat_until(1000 + 3 * TIMEOUT, device.connection.on_writable if reads else lambda: None)
    assert _code(device) == (None if reads else CloseCode.HEARTBEAT_TIMEOUT)


@asynchronous
async def test_a_connection_that_fails_in_the_sweep_ends_alone(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    bad, good = await it.join("bad"), await it.join("good")
    bad.connection.info.last_ping = None  # type: ignore[assignment]

    def answer() -> None:
        for device in (bad, good):
            device.connection.info.last_heartbeat = clock.now

    await it.beat_until(1000 + INTERVAL + 2, answer)
    assert _code(bad) == CloseCode.INTERNAL_ERROR
    assert (_pings(good), _code(good)) == (1, None)


@asynchronous
async def test_a_ping_from_a_client_is_answered_with_its_own_data_and_id() -> None:
    stage = Stage(MemoryStore())
    device = await stage.join("phone")
    device.send({"type": "PING", "message_id": "p1", "data": {"at": 1.5}})
    device.send({"type": "PING"})
    stage.replies.flush()
    assert [f["type"] for f in device.answers] == ["PONG", "PONG"]
    assert (device.answers[0]["message_id"], device.answers[0]["data"]) == ("p1", {"at": 1.5})
    assert "data" not in device.answers[1]


def test_a_real_client_whose_only_signs_are_websocket_pings_and_pongs_is_closed_with_4001(
    tmp_path: Any, connect_device: Connect
) -> None:
    with running_server(tmp_path, heartbeat__interval=0.3, heartbeat__timeout=1.5) as server:
        phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
        for _ in range(4):
            tablet.receive_until("PING")
            tablet.send({"type": "PONG"})
            phone.socket.ping()
            phone.socket.pong()
        code, reason = phone.wait_for_close()
        assert (code, bool(reason)) == (CloseCode.HEARTBEAT_TIMEOUT, True)
        assert tablet.ask({"type": "PING"})["type"] == "PONG"


@asynchronous
async def test_a_device_that_speaks_but_never_reads_is_closed_after_the_timeout(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Beating(clock, monkeypatch)
    deaf, slow = await it.join("deaf"), await it.join("slow")
    for device in (deaf, slow):
        device.connection.info.last_writable = clock.now
        device.socket.is_writable = False

    def speak() -> None:
        for device in (deaf, slow):
            device.connection.info.last_heartbeat = clock.now
        slow.connection.info.last_writable = clock.now  # it has read, between two looks

    await it.beat_until(1000 + TIMEOUT - 3, speak)
    assert _code(deaf) is None
    await it.beat_until(1000 + TIMEOUT + INTERVAL, speak)
    assert _code(deaf) == 4002
    assert _code(slow) is None
