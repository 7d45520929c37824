"""The thread that works for the event loop."""

import asyncio
import threading
import time

import pytest

from server.store.worker import Worker
from tests.support.asynchronous import asynchronous


def _late() -> str:
    time.sleep(0.5)
    return "late"


@asynchronous
async def test_a_short_job_is_done_at_once_and_a_long_one_leaves_the_loop_alone() -> None:
    worker = Worker("worker", 20)
    assert [worker.submit_and_wait(lambda n=n: n) for n in range(100)] == list(range(100))  # type: ignore[misc]
    started = time.monotonic()
    late = worker.submit_and_wait(_late)
    assert time.monotonic() - started < 0.4
    assert worker.pending == 1
    assert isinstance(late, asyncio.Future) and await late == "late"
    assert worker.pending == 0
    assert worker.submit_and_wait(lambda: "again") == "again"
    await worker.stop()


@asynchronous
async def test_the_loop_stands_still_for_the_patience_and_no_longer() -> None:
    worker, waits = Worker("worker", 2), list[float]()
    for _ in range(10):
        started = time.monotonic()
        late = worker.submit_and_wait(lambda: time.sleep(0.03))
        waits.append(time.monotonic() - started)
        assert isinstance(late, asyncio.Future)
        await late
    assert 0.002 <= min(waits) < 0.004  # the quickest: others may wait for the machine
    await worker.stop()


@asynchronous
async def test_what_a_job_raises_is_raised_to_whoever_asked() -> None:
    worker = Worker("worker", 20)
    with pytest.raises(ZeroDivisionError):
        worker.submit_and_wait(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await worker.submit(lambda: 1 // 0)
    await worker.stop()


@asynchronous
async def test_a_read_that_nobody_waits_for_is_not_made_and_a_write_is() -> None:
    worker, gate, done = Worker("worker"), threading.Event(), list[str]()
    blocking = worker.submit(gate.wait)
    read, write = worker.gather(lambda: done.append("read")), worker.submit(lambda: done.append("write"))
    read.cancel()
    write.cancel()
    gate.set()
    await blocking
    await worker.stop()
    assert done == ["write"]
    assert worker.pending == 0
