"""A replay ends where live delivery begins: nothing missing between them, nothing twice."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from server.core.model import StoredMessage
from server.ports import MessageStore
from server.protocol import MessageType
from server.runtime.base.background import Background
from server.runtime.messages.replay import Replayer
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection
from tests.support.asynchronous import asynchronous


def stored(seq: int) -> StoredMessage:
    return StoredMessage(seq, f"m{seq}", MessageType.CHAT_MESSAGE, "kai", "text", 0, None, None)


class Returning:
    """A connection that is behind."""

    close_code: int | None = None
    info = SimpleNamespace(user_id="kai")

    def __init__(self, newest_delivered: int) -> None:
        self.room = SimpleNamespace(key=1, conversation_id="conv", last_seq=newest_delivered)
        self.replayed: list[bytes] = []
        self.went_live_after: int | None = None

    def begin_replay(self) -> None:
        pass

    def release_acks(self, position: int) -> None:
        pass

    def write_replay(self, frames: list[bytes]) -> None:
        self.replayed += frames

    async def writable(self) -> None:
        pass


def replay(connection: Returning, committed: int) -> None:
    class Store:
        async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
            return [stored(seq) for seq in range(after + 1, committed + 1)][:limit]

    def go_live(it: Any) -> None:
        connection.went_live_after = len(connection.replayed)

    manager = cast(ConnectionManager, SimpleNamespace(go_live=go_live))

    async def run() -> None:
        background = Background()
        replayer = Replayer(manager, cast(MessageStore, Store()), background)
        replayer.begin(cast(Connection, connection), 0)
        await background.finished()

    asyncio.run(run())


def test_what_was_delivered_is_replayed_and_then_the_device_is_live() -> None:
    connection = Returning(newest_delivered=250)
    replay(connection, committed=250)
    assert connection.went_live_after == 250


def test_what_is_committed_and_not_yet_broadcast_is_left_to_live_delivery() -> None:
    connection = Returning(newest_delivered=23)
    replay(connection, committed=24)
    assert connection.went_live_after == 23
    assert not any(b'"m24"' in frame for frame in connection.replayed)


class Reads:
    """A store that notes what it is asked for, and answers when the test lets it."""

    def __init__(self, text: str = "text") -> None:
        self.asked: list[int] = []
        self.sizes: list[int] = []
        self.gate = asyncio.Semaphore(0)
        self._text = text

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        self.asked.append(key)
        self.sizes.append(limit)
        await self.gate.acquire()
        message = stored(0)._replace(data=self._text)
        return [message._replace(seq=seq) for seq in range(after + 1, after + limit + 1)]


def _behind(key: int, user: str, newest: int = 1000) -> Returning:
    connection = Returning(newest)
    connection.room.key = key
    connection.info = SimpleNamespace(user_id=user)
    return connection


def _replayer(store: Reads, background: Background) -> Replayer:
    manager = cast(ConnectionManager, SimpleNamespace(go_live=lambda connection: None))
    return Replayer(manager, cast(MessageStore, store), background)


@asynchronous
async def test_replays_of_one_user_take_turns_and_hold_up_no_other_user() -> None:
    store, background = Reads(), Background()
    replayer = _replayer(store, background)
    for key in range(8):
        replayer.begin(cast(Connection, _behind(key, "greedy")), 0)
    replayer.begin(cast(Connection, _behind(100, "other")), 0)
    await asyncio.sleep(0.01)
    assert store.asked == [0, 100]
    store.gate.release()
    await asyncio.sleep(0.01)
    assert store.asked == [0, 100, 1]
    await background.stop()


@asynchronous
async def test_what_a_device_that_is_gone_waited_for_is_not_read() -> None:
    store, background = Reads(), Background()
    replayer = _replayer(store, background)
    devices = [_behind(key, "greedy") for key in range(8)]
    for device in devices:
        replayer.begin(cast(Connection, device), 0)
    await asyncio.sleep(0.01)
    for device in devices:
        device.close_code = 1006
    store.gate.release()
    await background.finished()
    assert store.asked == [0]


@asynchronous
async def test_pages_of_long_texts_are_short_and_of_short_texts_long() -> None:
    for text, page in (("x" * 12_000, 10), ("x", 100)):
        store, background = Reads(text), Background()
        store.gate = asyncio.Semaphore(1000)
        _replayer(store, background).begin(cast(Connection, _behind(1, "kai")), 0)
        await background.finished()
        assert store.sizes[0] == 10
        assert set(store.sizes[1:-1]) == {page}
