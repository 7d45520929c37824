"""Commits side by side: one while commits are quick, others where one takes long; order stays."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from server.runtime.base import lanes
from server.runtime.base.lanes import Lanes
from tests.support.asynchronous import asynchronous
from tests.support.scripted_commits import ScriptedCommits
from tests.support.stage import turns


@dataclass(eq=False)
class Item:
    conversation_key: int
    name: str
    arrived: float = field(default_factory=time.monotonic)


class Sink:
    def __init__(self) -> None:
        self.settled_names: list[str] = []
        self.withdrawn_names: list[str] = []
        self.news = asyncio.Event()

    def settled(self, items: list[Item], results: list[int], seconds: float) -> None:
        self.settled_names += [item.name for item in items]

    def withdrawn(self, items: list[Item]) -> None:
        self.withdrawn_names += [item.name for item in items]
        self.news.set()

    def overdue(self, items: list[Item]) -> None:
        """Their commit goes on."""

    def failed(self, items: list[Item], fault: BaseException) -> None:
        raise fault


class Bench:
    """Two lanes over a scripted store. Items are written `1a`: conversation 1, name a."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.store: ScriptedCommits[Item, int] = ScriptedCommits()
        self.sink = Sink()
        self.lanes = Lanes(self.store.save, self.sink, timeout, 2)

    async def submit(self, *texts: str) -> None:
        for text in texts:
            self.lanes.submit(Item(int(text[0]), text))
        await turns(2)

    @property
    def commits(self) -> list[list[str]]:
        return [[item.name for item in batch.items] for batch in self.store.batches]

    async def commit(self, number: int) -> None:
        items = self.store.batches[number].claim()
        self.store.answers[number].set_result([0] * len(items))
        await turns(3)


@asynchronous
async def test_while_commits_are_quick_there_is_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_PATIENCE", 60.0)
    bench = Bench()
    await bench.submit("1a", "2a")
    await bench.submit("1b", "3a")
    assert bench.commits == [["1a", "2a"]]
    await bench.commit(0)
    assert bench.commits == [["1a", "2a"], ["1b", "3a"]]
    await bench.commit(1)
    assert bench.sink.settled_names == ["1a", "2a", "1b", "3a"]
    assert bench.lanes.pending == 0
    await bench.lanes.drained()


@asynchronous
async def test_a_commit_that_takes_long_holds_up_its_own_conversations_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "_PATIENCE", 0.0)
    bench = Bench()
    await bench.submit("1a", "2a")
    await bench.submit("3a", "1b")
    await bench.submit("4a", "3b")
    assert bench.commits == [["1a", "2a"], ["3a"]]
    await bench.commit(1)
    assert bench.sink.settled_names == ["3a"]
    # 4 found both busy and went where less was waiting; it is still there, behind 3.
    assert bench.commits[2:] == [["4a", "3b"]]
    await bench.commit(0)
    assert bench.commits[3:] == [["1b"]]
    await bench.commit(3)
    await bench.commit(2)
    assert bench.sink.settled_names == ["3a", "1a", "2a", "1b", "4a", "3b"]
    assert bench.lanes.pending == 0


@asynchronous
async def test_what_waits_for_a_commit_that_takes_long_goes_through_another_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "_PATIENCE", 0.03)
    bench = Bench()
    await bench.submit("1a")
    await bench.submit("2a", "1b", "2b", "3a")
    assert bench.commits == [["1a"]]
    await asyncio.sleep(0.1)
    assert bench.commits == [["1a"], ["2a", "2b", "3a"]]
    await bench.submit("2c")
    await bench.commit(1)
    await bench.commit(0)
    assert bench.commits[2:] == [["2c"], ["1b"]]
    await bench.commit(2)
    await bench.commit(3)
    assert bench.sink.settled_names == ["2a", "2b", "3a", "1a", "2c", "1b"]
    assert bench.lanes.pending == 0


@asynchronous
async def test_a_conversation_is_free_to_go_on_anywhere_once_nothing_of_it_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "_PATIENCE", 0.0)
    bench = Bench()
    await bench.submit("1a")
    await bench.submit("2a")
    await bench.commit(0)
    await bench.submit("2b", "1b")
    assert bench.commits == [["1a"], ["2a"], ["1b"]]
    await bench.commit(1)
    assert bench.commits[3:] == [["2b"]]


@asynchronous
async def test_what_is_withdrawn_is_no_longer_of_its_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_PATIENCE", 0.0)
    bench = Bench(timeout=0.05)
    await bench.submit("1a")
    bench.store.batches[0].claim()
    await bench.submit("1b")
    await bench.sink.news.wait()
    assert bench.sink.withdrawn_names == ["1b"]
    assert bench.lanes.pending == 1
    await bench.commit(0)
    assert bench.lanes.pending == 0 and not bench.lanes._open
