"""What goes to many at once goes out in steps: in no turn of the loop is more done than one step."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from server.core.model import STORE_UNAVAILABLE, Draft, Outcome, StoredMessage
from server.ports import Batch, Commit, DoneCommit
from server.runtime.base.batches import BATCH_SIZE, in_batches
from server.runtime.base.timers import Timers
from server.runtime.process.heartbeat import Heartbeat
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import Stage, StageDevice
from tests.support.store import told

MANY = 3 * BATCH_SIZE + 1


async def _joined(stage: Stage, client_id: str = "phone") -> list[StageDevice]:
    """A device of each of many users."""
    return [await stage.join(client_id, user=f"u{n}", conversation=f"c{n}") for n in range(MANY)]


async def _most_in_a_turn(count: Callable[[], int], goal: int, work: Coroutine[Any, Any, object]) -> int:
    """By how much the count rises in one turn of the loop at most, on its way to the goal."""
    task = asyncio.create_task(work)
    most, before = 0, count()
    while before < goal:
        await asyncio.sleep(0)
        most, before = max(most, count() - before), count()
    task.cancel()
    return most


def _writes(devices: list[StageDevice]) -> Callable[[], int]:
    start = sum(device.socket.writes for device in devices)
    return lambda: sum(device.socket.writes for device in devices) - start


def _closed(devices: list[StageDevice]) -> Callable[[], int]:
    return lambda: sum(device.socket.closed is not None for device in devices)


def test_a_step_takes_in_everybody_once_whoever_leaves_meanwhile() -> None:
    there = list(range(MANY))
    seen = []
    for step in in_batches(there):
        assert len(step) <= BATCH_SIZE
        seen += step
        there.clear()
    assert seen == list(range(MANY))


@asynchronous
async def test_an_announcement() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    work = stage.node.announcer.announce("hello", None, None)
    assert 0 < await _most_in_a_turn(_writes(devices), MANY, work) <= BATCH_SIZE


@asynchronous
async def test_an_ais_status_which_all_who_are_with_it_hear() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    statuses = stage.node.statuses

    async def leave() -> None:
        statuses.set("ai", "offline")
        assert await statuses.devices("ai") == MANY

    assert 0 < await _most_in_a_turn(_writes(devices), MANY, leave()) <= BATCH_SIZE
    assert all(device.socket.frames[-1]["data"]["status"] == "offline" for device in devices)


@asynchronous
async def test_a_sweep_that_finds_a_ping_due_everywhere() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    for device in devices:
        device.connection.info.last_ping = 0.0
    sweeper = Heartbeat(stage.manager, stage.replies, stage.metrics, (), interval=100.0, timeout=0.1)
    assert 0 < await _most_in_a_turn(_writes(devices), MANY, sweeper.beat()) <= BATCH_SIZE


@asynchronous
async def test_a_sweep_that_finds_everybody_silent() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    sweeper = Heartbeat(stage.manager, stage.replies, stage.metrics, (), interval=0.01, timeout=0.01)
    assert 0 < await _most_in_a_turn(_closed(devices), MANY, sweeper.beat()) <= BATCH_SIZE


@asynchronous
async def test_the_shutdowns_news_and_its_closes() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    drain = asyncio.create_task(stage.shutdown.drain())
    assert 0 < await _most_in_a_turn(_writes(devices), MANY, asyncio.sleep(0)) <= BATCH_SIZE
    assert 0 < await _most_in_a_turn(_closed(devices), MANY, asyncio.sleep(0)) <= BATCH_SIZE
    await drain


@asynchronous
async def test_an_emptying_as_fast_as_may_be_asked_for() -> None:
    stage = Stage(MemoryStore())
    devices = await _joined(stage)
    work = stage.shutdown.empty(per_second=100_000)
    assert 0 < await _most_in_a_turn(_closed(devices), MANY, work) <= BATCH_SIZE
    told = [device.socket.frames[-1]["data"]["reconnect_after"] for device in devices]
    assert len(set(told)) > MANY / 2


@asynchronous
async def test_the_new_numbers_of_devices_after_many_have_left_at_once() -> None:
    stage = Stage(MemoryStore())
    leaving, staying = await _joined(stage, "phone"), await _joined(stage, "tablet")

    async def leave() -> None:
        for device in leaving:
            device.connection.on_closed(1006)

    assert 0 < await _most_in_a_turn(_writes(staying), MANY, leave()) <= BATCH_SIZE
    assert all(device.device_counts[-1] == 1 for device in staying)


@asynchronous
async def test_the_answers_to_messages_that_could_not_be_saved() -> None:
    class Failing(MemoryStore):
        """`asked` is how many look-ups are under way at once, at most."""

        now = asked = 0

        def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
            return DoneCommit(told(*[STORE_UNAVAILABLE for _ in batch.claim()]))

        async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
            self.now += 1
            self.asked = max(self.asked, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return None

    stage = Stage(store := Failing())
    devices = await _joined(stage)

    async def say() -> None:
        for device in devices:
            device.say("m1")

    nacked = stage.metrics.nacked
    assert 0 < await _most_in_a_turn(lambda: sum(nacked.values()), MANY, say()) <= BATCH_SIZE
    assert store.asked == BATCH_SIZE  # those of a step together: one by one they would take their time
    assert all(device.answers[-1]["error"]["code"] == "store_unavailable" for device in devices[:BATCH_SIZE])


@asynchronous
async def test_timers_that_are_all_due_and_one_that_fails_harms_none() -> None:
    rung: list[int] = []

    def ring(key: int) -> None:
        rung.append(key)
        if key == 1:
            raise RuntimeError("broken")

    timers: Timers[int] = Timers(ring)

    async def set_all() -> None:
        for key in range(MANY):
            timers.set(key, at=float(key))

    assert 0 < await _most_in_a_turn(lambda: len(rung), MANY, set_all()) <= BATCH_SIZE
    assert rung == list(range(MANY))
