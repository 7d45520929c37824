import asyncio
import time
from dataclasses import dataclass, field

import pytest

from server.ports import StoreUnavailable
from server.runtime.base.awaited_commit import AwaitedCommit
from tests.support.asynchronous import asynchronous
from tests.support.scripted_commits import ScriptedCommits
from tests.support.stage import turns

TIMEOUT = 0.05  # seconds: what is under test ends with it


@dataclass(eq=False)
class Item:
    name: str
    arrived: float = field(default_factory=time.monotonic)


class Bench:
    """Callers before a scripted store."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.store: ScriptedCommits[Item, str] = ScriptedCommits()
        self.commit = AwaitedCommit(self.store.save, timeout, "not in time")

    async def save(self, *names: str) -> list[asyncio.Task[str]]:
        waiting = [asyncio.create_task(self.commit.save(Item(name))) for name in names]
        await turns(2)
        return waiting

    def settle(self, number: int) -> None:
        items = self.store.batches[number].claim()
        self.store.answers[number].set_result([f"saved {item.name}" for item in items])


@asynchronous
async def test_each_who_waits_gets_the_result_of_its_own_item() -> None:
    bench = Bench()
    waiting = await bench.save("a", "b", "c")
    bench.settle(0)
    assert await asyncio.gather(*waiting) == ["saved a", "saved b", "saved c"]


@asynchronous
async def test_whoever_waits_no_longer_takes_no_answer_from_the_others() -> None:
    bench = Bench()
    first, gone, last = await bench.save("a", "b", "c")
    gone.cancel()
    await turns(1)
    bench.settle(0)
    assert (await first, await last) == ("saved a", "saved c")


@asynchronous
async def test_what_nobody_waits_for_any_more_is_not_saved_unless_it_is_under_way() -> None:
    bench = Bench()
    first, unclaimed = await bench.save("a", "b")
    queued, last = await bench.save("c", "d")
    for gone in (unclaimed, queued):
        gone.cancel()
    await turns(1)
    assert [item.name for item in bench.store.batches[0].claim()] == ["a"]
    first.cancel()
    await turns(1)
    assert [item.name for item in bench.store.batches[0].items] == ["a"]  # too late
    bench.settle(0)
    await turns(1)
    assert [item.name for item in bench.store.batches[1].items] == ["d"]
    bench.settle(1)
    assert await last == "saved d"


@asynchronous
async def test_a_fault_of_the_store_is_that_it_is_unavailable() -> None:
    bench = Bench()
    (waiting,) = await bench.save("a")
    bench.store.answers[0].set_exception(OSError("the disk is gone"))
    with pytest.raises(StoreUnavailable, match="not in time"):
        await waiting


@asynchronous
async def test_whoever_waited_too_long_is_told_so_and_the_save_goes_on_for_the_next() -> None:
    bench = Bench(TIMEOUT)
    (waiting,) = await bench.save("a")
    items = bench.store.batches[0].claim()
    with pytest.raises(StoreUnavailable, match="not in time"):
        await waiting
    bench.store.answers[0].set_result([f"saved {item.name}" for item in items])
    (again,) = await bench.save("b")
    bench.settle(1)
    assert await again == "saved b"
