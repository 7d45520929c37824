import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from server.ports import Batch, Commit
from server.runtime.base.group_commit import MAX_BATCH, GroupCommit
from tests.support.asynchronous import asynchronous
from tests.support.scripted_commits import ScriptedCommits

TIMEOUT = 0.05  # seconds: what is under test ends with it


@dataclass(eq=False)
class Item:
    name: str
    arrived: float = field(default_factory=time.monotonic)


class Sink:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def settled(self, items: list[Item], results: list[int], seconds: float) -> None:
        for item, result in zip(items, results, strict=True):
            self._tell(f"settled {result}", [item])

    def withdrawn(self, items: list[Item]) -> None:
        self._tell("withdrawn", items)

    def overdue(self, items: list[Item]) -> None:
        self._tell("overdue", items)

    def failed(self, items: list[Item], fault: BaseException) -> None:
        self._tell(f"failed {fault}", items)

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._news.clear()
            await self._news.wait()

    def _tell(self, what: str, items: list[Item]) -> None:
        self.told += [(what, item.name) for item in items]
        self._news.set()


class Bench:
    """A queue between a scripted store and a sink."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.store: ScriptedCommits[Item, int] = ScriptedCommits()
        self.sink = Sink()
        self.queue = GroupCommit(self.store.save, self.sink, timeout)

    def submit(self, *names: str) -> None:
        for name in names:
            self.queue.submit(Item(name))

    def names(self, number: int) -> list[str]:
        """What the nth batch holds; reading it claims it."""
        return [item.name for item in self.store.batches[number].claim()]

    def settle(self, number: int, *results: int) -> None:
        self.store.answers[number].set_result(list(results))


@asynchronous
async def test_what_arrives_in_one_turn_of_the_loop_is_committed_together_and_at_once() -> None:
    bench = Bench()
    bench.submit("a", "b")
    assert bench.store.batches == []
    await asyncio.sleep(0)
    assert bench.names(0) == ["a", "b"]


@asynchronous
async def test_a_batch_is_bounded_and_the_rest_follows_in_order() -> None:
    bench = Bench()
    names = [f"item{number}" for number in range(2 * MAX_BATCH + 1)]
    bench.submit(*names)
    await asyncio.sleep(0)
    committed: list[str] = []
    for number in range(3):
        batch = bench.names(number)
        assert len(batch) <= MAX_BATCH
        assert bench.queue.pending == len(names) - len(committed)
        committed += batch
        bench.settle(number, *range(len(batch)))
        await asyncio.sleep(0)
    assert committed == [name for _, name in bench.sink.told] == names
    await bench.queue.drained()


@asynchronous
async def test_what_arrives_during_a_commit_goes_into_the_next_one() -> None:
    bench = Bench()
    bench.submit("a")
    await asyncio.sleep(0)
    bench.submit("b")
    await asyncio.sleep(0)
    bench.submit("c")
    assert len(bench.store.batches) == 1
    assert bench.queue.pending == 3
    bench.settle(0, 1)
    await bench.sink.until(lambda: bool(bench.sink.told))
    assert bench.sink.told == [("settled 1", "a")]
    assert bench.names(1) == ["b", "c"]
    assert bench.queue.pending == 2


@asynchronous
async def test_drained_waits_for_all_that_is_pending() -> None:
    bench = Bench()
    await bench.queue.drained()
    bench.submit("a")
    draining = asyncio.create_task(bench.queue.drained())
    await asyncio.sleep(0)
    bench.submit("b")
    bench.settle(0, 1)
    await bench.sink.until(lambda: len(bench.sink.told) == 1)
    assert not draining.done()
    bench.settle(1, 2)
    await draining
    assert bench.sink.told == [("settled 1", "a"), ("settled 2", "b")]
    assert bench.queue.pending == 0


@asynchronous
async def test_an_unclaimed_batch_is_withdrawn_when_its_time_is_over() -> None:
    bench = Bench(TIMEOUT)
    bench.submit("a")
    await asyncio.sleep(0)
    bench.submit("b")
    await bench.sink.until(lambda: len(bench.sink.told) == 2)
    assert bench.sink.told == [("withdrawn", "a"), ("withdrawn", "b")]
    assert bench.names(0) == []
    bench.settle(0)
    await bench.queue.drained()
    bench.submit("c")
    await asyncio.sleep(0)
    assert bench.names(1) == ["c"]


@asynchronous
async def test_drained_also_when_the_last_is_withdrawn_before_its_commit_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(TIMEOUT)

    def settled(items: list[Item], results: list[int], seconds: float) -> None:
        asyncio.get_running_loop().call_soon(bench.queue._expire)  # as when the loop is held up
        bench.queue.submit(Item("old", arrived=time.monotonic() - 60))

    monkeypatch.setattr(bench.sink, "settled", settled)
    bench.submit("a")
    draining = asyncio.create_task(bench.queue.drained())
    await asyncio.sleep(0)
    bench.settle(0, 1)
    await asyncio.wait_for(draining, 5)
    assert bench.sink.told == [("withdrawn", "old")]


@asynchronous
async def test_only_what_is_due_is_withdrawn() -> None:
    bench = Bench(TIMEOUT)
    old, fresh = Item("old"), Item("fresh", arrived=time.monotonic() + 60)
    bench.queue.submit(old)
    bench.queue.submit(fresh)
    await bench.sink.until(lambda: bool(bench.sink.told))
    assert bench.sink.told == [("withdrawn", "old")]
    assert bench.names(0) == ["fresh"]
    bench.settle(0, 1)
    await bench.queue.drained()
    assert bench.sink.told == [("withdrawn", "old"), ("settled 1", "fresh")]


@asynchronous
async def test_a_claimed_batch_is_overdue_again_and_again_and_then_settled_once() -> None:
    bench = Bench(TIMEOUT)
    bench.submit("a")
    await asyncio.sleep(0)
    assert bench.names(0) == ["a"]
    await bench.sink.until(lambda: bench.sink.told == [("overdue", "a")] * 2)
    bench.settle(0, 7)
    await bench.queue.drained()
    assert {told for told in bench.sink.told if told[0] != "overdue"} == {("settled 7", "a")}
    assert bench.sink.told[-1] == ("settled 7", "a")


@asynchronous
async def test_what_waits_behind_a_claimed_batch_is_withdrawn_in_its_own_time() -> None:
    bench = Bench(TIMEOUT)
    bench.submit("a")
    await asyncio.sleep(0)
    bench.names(0)
    bench.submit("b")
    await bench.sink.until(lambda: ("withdrawn", "b") in bench.sink.told)
    bench.settle(0, 1)
    await bench.queue.drained()
    assert bench.sink.told[-1] == ("settled 1", "a")
    assert len(bench.store.batches) == 1


@asynchronous
async def test_when_the_store_raises_the_items_fail_and_the_next_are_committed() -> None:
    bench = Bench()
    bench.submit("a")
    await asyncio.sleep(0)
    bench.submit("b")
    bench.store.answers[0].set_exception(RuntimeError("broken"))
    await bench.sink.until(lambda: bool(bench.sink.told))
    assert bench.sink.told == [("failed broken", "a")]
    assert bench.names(1) == ["b"]


@asynchronous
async def test_when_nobody_can_be_told_of_a_commit_the_next_one_is_told_of_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: faults.append(context["exception"])
    )
    bench.submit("a")
    await asyncio.sleep(0)
    bench.submit("b")

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(bench.sink, "settled", fail)
        bench.settle(0, 1)
        await asyncio.sleep(0)
    bench.settle(1, 2)
    await bench.queue.drained()
    await bench.sink.until(lambda: bench.sink.told == [("settled 2", "b")])
    assert [str(fault) for fault in faults] == ["broken"]


@asynchronous
async def test_a_store_that_raises_at_once_fails_its_items_and_no_others() -> None:
    bench = Bench()
    save = bench.store.save

    def fail(batch: Batch[Item]) -> Commit[int]:
        raise RuntimeError("broken")

    bench.queue._commit = fail
    bench.submit("a")
    await bench.sink.until(lambda: bench.sink.told == [("failed broken", "a")])
    bench.queue._commit = save
    bench.submit("b")
    await asyncio.sleep(0)
    assert bench.names(0) == ["b"]


@asynchronous
async def test_one_commit_at_a_time_also_when_all_was_withdrawn_before_it_began() -> None:
    """A loop that was held up finds the time over of what it has not begun; uvloop runs timers first."""
    bench = Bench(TIMEOUT)
    bench.queue.submit(Item("late", arrived=time.monotonic() - 1))
    bench.queue._expire()
    assert bench.sink.told == [("withdrawn", "late")]
    asyncio.get_running_loop().call_soon(bench.submit, "b")  # between the two starts that are due
    bench.submit("a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(bench.store.batches) == 1
    bench.settle(0, 1)
    await bench.sink.until(lambda: ("settled 1", "a") in bench.sink.told)
    assert bench.names(1) == ["b"]
