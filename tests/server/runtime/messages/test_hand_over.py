"""Protocol, sections 1 and 5: what a device missed, and then what is live, with no hole and no double."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.core.model import Draft, Outcome, StoredMessage
from server.ports import Batch, Commit, PendingCommit, StoreUnavailable
from server.protocol import CloseCode
from server.runtime.messages import replay
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import FakeSocket, Stage, StageDevice, turns

MISSED = 5
PAGE = 2


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_PAGE", PAGE)


class SteppedStore(MemoryStore):
    """Stops before and after every read until told to go on; commits at once, but may keep the news back."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stepped = False
        self.keeps_news = False
        self.stopped: asyncio.Future[None] | None = None
        self._news: list[tuple[asyncio.Future[list[Outcome]], list[Outcome]]] = []

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        await self._stop()
        page = await super().history(key, after, limit)
        await self._stop()
        return page

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        saved = super().save(batch)
        if not self.keeps_news:
            return saved
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        saved.when_over(lambda outcomes, fault: self._news.append((future, outcomes)))
        return PendingCommit(future)

    def tell_news(self) -> None:
        self.keeps_news = False
        news, self._news = self._news, []
        for future, outcomes in news:
            future.set_result(outcomes)

    def go_on(self) -> None:
        assert self.stopped is not None
        stopped, self.stopped = self.stopped, None
        stopped.set_result(None)

    async def _stop(self) -> None:
        if self.is_stepped:
            self.stopped = asyncio.get_running_loop().create_future()
            await self.stopped


class JammingSocket(FakeSocket):
    """Is full after every write, until the test lets it drain."""

    jams = True

    def write(self, frames: bytes) -> None:
        super().write(frames)
        self.is_writable = not self.jams


class HandOver:
    """One device comes back while another goes on talking; the test stops it at each of its awaits."""

    def __init__(self) -> None:
        self.store = SteppedStore()
        self.stage = Stage(self.store)
        self.numbers = itertools.count(1)
        self.talker: StageDevice
        self.device: StageDevice

    async def prepare(self) -> None:
        self.talker = await self.stage.join("talker")
        await self.talk(MISSED)
        self.store.is_stepped = True
        socket = JammingSocket()
        connection = await self.stage.ask_to_join(socket, "back", last_seq=0)
        assert not isinstance(connection, tuple)
        self.device = StageDevice(connection, socket)

    async def talk(self, count: int) -> None:
        for _ in range(count):
            self.talker.say(f"m{next(self.numbers)}")
        await turns(4)

    async def commit_in_silence(self) -> None:
        """In the database, but the node has not heard of it yet."""
        self.store.keeps_news = True
        await self.talk(2)

    async def run(self, at_stop: Callable[[int], Awaitable[None]]) -> int:
        """Goes on from stop to stop until the device is live; how many stops there were."""
        for stop in itertools.count():
            await turns(4)
            device, store = self.device, self.store
            if store.stopped is None and device.socket.is_writable:
                assert device.connection in device.connection.room.live
                return stop
            await at_stop(stop)
            if store.stopped is not None:
                store.go_on()
            else:
                device.socket.is_writable = True
                device.connection.on_writable()
        raise AssertionError

    async def finish(self) -> None:
        self.store.is_stepped = False
        self.device.socket.jams = False  # type: ignore[attr-defined]
        self.device.socket.is_writable = True
        self.device.connection.on_writable()
        self.store.tell_news()
        await self.stage.settle()


async def _nothing(stop: int) -> None: ...


async def _stops() -> int:
    hand_over = HandOver()
    await hand_over.prepare()
    return await hand_over.run(_nothing)


async def _check_with(at_stop: Callable[[HandOver, int], Awaitable[None]]) -> None:
    hand_over = HandOver()
    await hand_over.prepare()
    await hand_over.run(lambda stop: at_stop(hand_over, stop))
    await hand_over.talk(1)
    await hand_over.finish()
    newest = next(hand_over.numbers) - 1
    assert hand_over.device.seen == list(range(1, newest + 1))
    assert hand_over.talker.seen == hand_over.device.seen


@asynchronous
async def test_messages_sent_at_any_await_of_the_hand_over_come_once_and_in_order() -> None:
    stops = await _stops()
    assert stops >= 2 * MISSED // PAGE  # else the stage does not stop where it should
    for chosen in range(stops):

        async def talk_there(hand_over: HandOver, stop: int, chosen: int = chosen) -> None:
            if stop == chosen:
                await hand_over.talk(3)

        await _check_with(talk_there)


@asynchronous
async def test_a_message_at_every_await_of_the_hand_over_comes_once_and_in_order() -> None:
    async def talk_a_while(hand_over: HandOver, stop: int) -> None:
        if stop < 40:
            await hand_over.talk(1)

    await _check_with(talk_a_while)


@asynchronous
async def test_a_message_at_every_turn_of_the_loop_comes_once_and_in_order() -> None:
    """Also between two steps that do not wait for anything outside."""
    stage, talker = await _with_history(MISSED)
    socket = FakeSocket()
    joining = asyncio.ensure_future(stage.ask_to_join(socket, "back", last_seq=0))
    for number in range(30):
        talker.say(f"live{number}")
        await turns(1)
    connection = await joining
    assert not isinstance(connection, tuple)
    await stage.settle()
    assert StageDevice(connection, socket).seen == talker.seen == list(range(1, MISSED + 31))


@asynchronous
async def test_what_is_committed_but_not_yet_broadcast_at_any_await_comes_once() -> None:
    """The page that is read next has it already, and its broadcast is still to come."""
    stops = await _stops()
    for chosen in range(stops):
        for told_after in (1, 2, 100):

            async def commit_there(
                hand_over: HandOver, stop: int, chosen: int = chosen, told_after: int = told_after
            ) -> None:
                if stop == chosen:
                    await hand_over.commit_in_silence()
                if stop == chosen + told_after:
                    hand_over.store.tell_news()

            hand_over = HandOver()
            await hand_over.prepare()
            await hand_over.run(lambda stop, it=hand_over, act=commit_there: act(it, stop))  # type: ignore[misc]
            await hand_over.finish()
            assert hand_over.device.seen == list(range(1, MISSED + 3)), (chosen, told_after)


@asynchronous
async def test_what_a_device_says_while_it_is_replayed_to_is_acked_behind_its_own_broadcast() -> None:
    for chosen in range(await _stops()):
        hand_over = HandOver()
        await hand_over.prepare()

        async def say_there(stop: int, it: HandOver = hand_over, chosen: int = chosen) -> None:
            if stop == chosen:
                it.device.say("mine")
                await turns(4)

        await hand_over.run(say_there)
        await hand_over.finish()
        frames = hand_over.device.socket.frames
        names = [f["type"] for f in frames if f.get("message_id") == "mine"]
        assert names == ["CHAT_MESSAGE", "ACK"], chosen
        assert hand_over.device.seen == list(range(1, MISSED + 2))


@asynchronous
async def test_a_shutdown_in_the_middle_of_a_replay_answers_what_the_device_had_said() -> None:
    hand_over = HandOver()
    await hand_over.prepare()
    await turns(4)
    hand_over.device.say("mine")
    await turns(4)
    assert not [f for f in hand_over.device.socket.frames if f["type"] == "ACK"]
    hand_over.device.connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
    assert [f["type"] for f in hand_over.device.answers] == ["ACK"]


@asynchronous
async def test_a_device_that_only_sends_while_it_is_replayed_to_is_slowed_down() -> None:
    hand_over = HandOver()
    await hand_over.prepare()
    await turns(4)
    for number in range(256):
        hand_over.device.say(f"flood{number}")
    await hand_over.stage.delivery.drained()
    await turns(4)
    was_reading = [hand_over.device.socket.is_reading]
    hand_over.store.is_stepped = hand_over.device.socket.jams = False  # type: ignore[attr-defined]
    hand_over.store.go_on()
    hand_over.device.socket.is_writable = True
    hand_over.device.connection.on_writable()
    await turns(1000)
    was_reading.append(hand_over.device.socket.is_reading)
    assert was_reading == [False, True]
    assert len(hand_over.device.answers) == 256


# ---- what is replayed -----------------------------------------------------------------------------------


async def _with_history(count: int, **settings: Any) -> tuple[Stage, StageDevice]:
    stage = Stage(MemoryStore(), **settings)
    talker = await stage.join("talker")
    for number in range(count):
        talker.say(f"m{number}")
    await stage.settle()
    return stage, talker


async def _come_back(stage: Stage, **brought: Any) -> StageDevice:
    device = await stage.join("back", **brought)
    await turns(200)
    return device


@asynchronous
async def test_messages_after_last_seq_are_replayed_before_anything_live() -> None:
    stage, talker = await _with_history(7)
    device = await _come_back(stage, last_seq=3, epoch=talker.welcome["epoch"])
    talker.say("live")
    await stage.settle()
    assert device.seen == [4, 5, 6, 7, 8]
    assert (device.welcome["last_seq"], device.welcome["recovered"], device.welcome["gap"]) == (7, 4, None)


@asynchronous
async def test_without_last_seq_nothing_is_replayed() -> None:
    stage, _ = await _with_history(3)
    device = await _come_back(stage)
    assert (device.seen, device.welcome["last_seq"], device.welcome["recovered"]) == ([], 3, 0)


@asynchronous
async def test_more_than_the_bound_is_a_gap_and_live_messages_follow() -> None:
    stage, talker = await _with_history(8, recovery_max_messages=5)
    at_the_bound = await _come_back(stage, last_seq=3)
    assert at_the_bound.seen == [4, 5, 6, 7, 8]
    device = await _come_back(stage, last_seq=2)
    talker.say("live")
    await stage.settle()
    assert device.welcome["gap"] == {"from": 3, "to": 8}
    assert (device.welcome["recovered"], device.seen) == (0, [9])


@asynchronous
async def test_another_epoch_is_a_gap_over_the_whole_log() -> None:
    stage, _ = await _with_history(4)
    device = await _come_back(stage, last_seq=2, epoch="another")
    assert (device.welcome["gap"], device.seen) == ({"from": 1, "to": 4}, [])


@asynchronous
async def test_a_last_seq_beyond_the_newest_is_a_gap_over_the_whole_log() -> None:
    stage, talker = await _with_history(4)
    device = await _come_back(stage, last_seq=5, epoch=talker.welcome["epoch"])
    assert (device.welcome["gap"], device.seen) == ({"from": 1, "to": 4}, [])


@asynchronous
async def test_a_replaced_log_that_is_empty_has_no_gap() -> None:
    stage, _ = await _with_history(0)
    device = await _come_back(stage, last_seq=7, epoch="another")
    assert (device.welcome["gap"], device.welcome["last_seq"]) == (None, 0)


@asynchronous
async def test_a_replay_larger_than_the_send_queue_goes_at_the_devices_own_pace() -> None:
    stage, talker = await _with_history(30, send_queue=4)
    stage.metrics.closed.clear()
    socket = JammingSocket()
    connection = await stage.ask_to_join(socket, "slow", last_seq=0, epoch=talker.welcome["epoch"])
    assert not isinstance(connection, tuple)
    device = StageDevice(connection, socket)
    await turns(50)
    assert len(device.seen) <= 2 * PAGE  # it is not written to faster than it reads
    while not connection.close_code and len(device.seen) < 30:
        socket.is_writable = True
        connection.on_writable()
        await turns(5)
    assert (device.seen, socket.closed) == (list(range(1, 31)), None)


@asynchronous
async def test_a_history_that_cannot_be_read_closes_the_device_with_1013() -> None:
    class BrokenHistory(MemoryStore):
        async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
            raise StoreUnavailable("the disk is gone")

    stage = Stage(BrokenHistory())
    talker = await stage.join("talker")
    talker.say("m1")
    await stage.settle()
    device = await _come_back(stage, last_seq=0)
    assert device.socket.closed is not None
    assert device.socket.closed[0] == CloseCode.TRY_AGAIN_LATER
    assert talker.socket.closed is None
