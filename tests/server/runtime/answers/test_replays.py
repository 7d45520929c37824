"""Dead letters that are sent again: each once at a time, whatever the store does meanwhile."""

import asyncio
from dataclasses import replace

from server.core.breaker import Breaker
from server.core.model import StoredMessage
from server.ports import StoreUnavailable
from server.runtime.answers.failing import Failures, RetryPolicy
from server.runtime.answers.gate import Gate
from server.runtime.answers.replays import Replays
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.scripted_responder import ScriptedResponder
from tests.support.stage import Stage
from tests.support.store import create, draft, save


class FlakyStore(MemoryStore):
    """Fails once to read the history of that conversation."""

    def __init__(self) -> None:
        super().__init__(owes_answers=True)
        self.fails_for = 0

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        if key == self.fails_for:
            self.fails_for = 0
            raise StoreUnavailable("once")
        return await super().history_before(key, before, limit)


class Post:
    """Two dead letters, and who sends them again."""

    def __init__(self) -> None:
        self.store, self.ai = FlakyStore(), ScriptedResponder()
        stage, gate = Stage(self.store), Gate(Breaker(8))
        gate.open()
        node = stage.node
        failures = Failures(self.store, stage.fan_out, stage.metrics, RetryPolicy(), gate)
        self.replays = Replays(
            stage.manager, node.conversations, stage.store, self.ai, node.streams, failures, gate, 20, 30.0
        )

    async def bury(self) -> None:
        rooms = await create(self.store, "a", "b")
        await save(self.store, *(draft(room.key, "m1", room.id) for room in rooms))
        for turn in await self.store.owed(0, 10):
            await self.store.give_up(replace(turn, last_seq=1), 1)
        await self.store.replay_dead_letters(None, None)
        self.store.fails_for = rooms[1].key

    async def until_letters(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(await self.store.dead_letters(10)) != count:  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.005)


@asynchronous
async def test_while_one_is_being_sent_it_is_not_sent_again_though_the_store_failed_for_another() -> None:
    post = Post()
    await post.bury()
    running = asyncio.create_task(post.replays.run())
    first = await post.ai.called(1)
    await asyncio.sleep(1.5)  # longer than the pause after a failure of the store
    assert [call.said for call in post.ai.calls] == [["a"]]
    first.write("answer")
    first.end()
    second = await post.ai.called(2)
    second.write("answer")
    second.end()
    await post.until_letters(0)
    assert [call.said for call in post.ai.calls] == [["a"], ["b"]]
    running.cancel()


@asynchronous
async def test_a_fault_of_the_responders_code_leaves_the_letter_and_stops_no_other() -> None:
    post = Post()
    await post.bury()
    post.store.fails_for = 0
    running = asyncio.create_task(post.replays.run())
    (await post.ai.called(1)).fail(RuntimeError("ours"))
    second = await post.ai.called(2)
    second.write("answer")
    second.end()
    await post.until_letters(1)
    [letter] = await post.store.dead_letters(10)
    assert (letter.attempts, letter.last_error) == (1, "ours")
    assert await post.store.replays(10) == []
    running.cancel()
