"""News of what no device has seen: one that is refused holds up no other, and none is forgotten."""

import asyncio
from typing import Any

from server.core.breaker import Breaker
from server.core.model import Draft
from server.core.retrying import Backoff, FailureKind
from server.ports import ResponderFailed
from server.protocol import MessageType
from server.runtime.answers.failing import Failures, RetryPolicy
from server.runtime.answers.gate import Gate
from server.runtime.answers.news import UndeliveredNews
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.stage import Stage
from tests.support.store import create, draft, save

LATER = Backoff(60.0, 60.0)


class Service:
    """Implements Notifier: refuses what the test says."""

    def __init__(self, kind: FailureKind = FailureKind.UPSTREAM_ERROR) -> None:
        self.told: list[str] = []
        self.refused: set[str] = set()
        self.refusals = 0
        self._kind = kind

    async def notify(self, event: str, data: dict[str, Any], event_id: str) -> None:
        await asyncio.sleep(0)
        if data["conversation_id"] in self.refused:
            self.refusals += 1
            raise ResponderFailed("answered 500", self._kind)
        self.told.append(data["conversation_id"])


class News:
    def __init__(self, service: Service, attempts: int = 12, backoff: Backoff = LATER) -> None:
        self.store, self.gate = MemoryStore(), Gate(Breaker(64, Backoff(0.01, 0.01)))
        stage = Stage(self.store)
        failures = Failures(self.store, stage.fan_out, stage.metrics, RetryPolicy(), self.gate)
        self.news = UndeliveredNews(self.store, service, failures, self.gate, attempts, backoff)
        self.gate.open()

    async def save(self, *ids: str) -> None:
        for room in await create(self.store, *ids):
            await save(self.store, _unseen(room.key))

    async def left(self) -> int:
        return len(await self.store.undelivered((0, 0), 100))

    async def until_left(self, count: int) -> None:
        async with asyncio.timeout(5):
            while await self.left() != count:  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.002)


def _unseen(key: int) -> Draft:
    return draft(key, "a1", "hi", "ai", type=MessageType.AI_RESPONSE, undelivered=True)


@asynchronous
async def test_news_that_is_refused_waits_and_holds_up_no_other() -> None:
    service = Service()
    told = News(service)
    refused = [f"bad{number}" for number in range(20)]
    service.refused = set(refused)
    await told.save(*refused, "good")
    running = asyncio.create_task(told.news.run())
    await told.until_left(20)
    await told.save("later")
    told.news.wake()
    await told.until_left(20)
    assert service.told == ["good", "later"]
    assert service.refusals == 20  # each once, since none is due again
    running.cancel()


@asynchronous
async def test_news_that_was_refused_is_told_when_it_is_taken_and_dropped_after_so_many_refusals() -> None:
    service = Service()
    told = News(service, attempts=4, backoff=Backoff(0.01, 0.01))
    service.refused = {"soon", "never"}
    await told.save("soon", "never")
    running = asyncio.create_task(told.news.run())
    await until(lambda: service.refusals >= 4)
    service.refused = {"never"}
    await told.until_left(0)
    assert service.told == ["soon"]
    running.cancel()


@asynchronous
async def test_a_service_that_is_down_is_told_when_it_is_back_however_long_that_takes() -> None:
    service = Service(FailureKind.UNAVAILABLE)
    told = News(service, attempts=1)
    service.refused = {"a"}
    await told.save("a")
    running = asyncio.create_task(told.news.run())
    await until(lambda: service.refusals >= 2)
    service.refused = set()
    await told.until_left(0)
    running.cancel()
