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


def stored(seq: int) -> StoredMessage:
    return StoredMessage(seq, f"m{seq}", MessageType.CHAT_MESSAGE, "kai", "text", 0, None, None)


class Returning:
    """A connection that is behind."""

    close_code = None

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
