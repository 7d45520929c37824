"""Positions, lists and deletion: every store does the same."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from server.core.model import (
    CONVERSATION_GONE,
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
)
from server.core.owed import OwedTurn
from server.ports import Batch, MessageStore
from server.protocol import MessageType
from server.store.hashes import hash_of
from server.store.memory import MemoryStore
from server.store.postgres import PostgresStore
from server.store.sqlite import SqliteStore
from server.store.sqlite_schema import MIGRATIONS
from tests.support.asynchronous import asynchronous
from tests.support.postgres_server import PostgresServer
from tests.support.store import save, told

Make = Callable[[], MessageStore]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(request.getfixturevalue("postgres_database"))
        return lambda: PostgresStore(url)
    return MemoryStore if request.param == "memory" else lambda: SqliteStore(tmp_path / "chat.db", False)


async def opened(make: Make) -> MessageStore:
    store = make()
    await store.open()
    return store


async def create(store: MessageStore, *ids: str, user: str = "kai") -> list[Conversation]:
    new = [NewConversation(id, user, {"id": "ai", "name": "AI"}, f"e-{id}", 1, 0.0) for id in ids]
    return await store.create_conversations(Batch(new))


async def say(
    store: MessageStore, room: Conversation, *ids: str, ai: bool = False, at: int = 1000
) -> list[Outcome]:
    type = MessageType.AI_RESPONSE if ai else MessageType.CHAT_MESSAGE
    sender = "ai" if ai else room.user_id
    return await save(store, *(Draft(room.key, id, type, sender, "text", at, 0.0) for id in ids))


async def advance(store: MessageStore, room: Conversation, position: Position, *seqs: int) -> list[bool]:
    return await store.advance(Batch([Advance(room.key, position, seq, time.monotonic()) for seq in seqs]))


@asynchronous
async def test_a_position_goes_only_forward(make: Make) -> None:
    store = await opened(make)
    (room,) = await create(store, "c")
    assert await store.position(room.key, Position.USER_READ) == 0
    assert await advance(store, room, Position.USER_READ, 2, 1, 2, 5) == [True, False, False, True]
    assert await store.position(room.key, Position.USER_READ) == 5
    assert await store.position(room.key, Position.AI_READ) == 0
    await store.close()


@asynchronous
async def test_unread_counts_the_ais_messages_beyond_what_the_user_has_read(make: Make) -> None:
    store = await opened(make)
    (room,) = await create(store, "c")
    await say(store, room, "a1", ai=True)
    await say(store, room, "m1")
    await say(store, room, "a2", "a3", ai=True)
    await advance(store, room, Position.USER_READ, 1)
    await advance(store, room, Position.AI_READ, 2)
    await advance(store, room, Position.ANSWERED, 3)
    summary = await store.summary("c")
    assert summary is not None and summary.last_message is not None
    assert (summary.unread, summary.last_read_seq, summary.last_message.message_id) == (2, 1, "a3")
    assert (summary.last_ai_read_seq, summary.last_answered_seq) == (2, 3)
    assert summary.conversation.last_seq == 4
    assert await store.summary("other") is None
    await say(store, room, "m2")
    for read, unread in ((2, 2), (3, 1), (4, 0), (5, 0), (9, 0)):
        await advance(store, room, Position.USER_READ, read)
        summary = await store.summary("c")
        assert summary is not None and summary.unread == unread
    await store.close()


@asynchronous
async def test_a_users_conversations_are_listed_by_their_newest_message(make: Make) -> None:
    store = await opened(make)
    old, new, empty = await create(store, "old", "new", "empty")
    await create(store, "foreign", user="eve")
    await say(store, new, "m", at=9000)
    await say(store, old, "m", at=5000)
    assert [s.conversation.id for s in await store.summaries("kai", 10)] == ["new", "old", "empty"]
    assert [s.conversation.id for s in await store.summaries("kai", 1)] == ["new"]
    assert sorted(await store.conversations_of("kai")) == sorted([old.id, new.id, empty.id])
    await store.close()


@asynchronous
async def test_a_deleted_conversation_leaves_nothing_and_its_late_messages_are_refused(make: Make) -> None:
    store = await opened(make)
    (room,) = await create(store, "c")
    (other,) = await create(store, "d")
    await say(store, room, "m1", "m2")
    await advance(store, room, Position.USER_READ, 2)
    await store.delete_conversations(["c", "unknown"])
    assert await store.find_conversation("c") is None
    assert await say(store, room, "late") == told(CONVERSATION_GONE)
    mixed = [Draft(r.key, "n", MessageType.CHAT_MESSAGE, "kai", "text", 1, 0.0) for r in (room, other, room)]
    assert await save(store, *mixed) == told(CONVERSATION_GONE, 1, CONVERSATION_GONE)
    assert await advance(store, room, Position.USER_READ, 9) in ([False], [True])
    (anew,) = await create(store, "c")
    assert anew.key not in (room.key, other.key)
    assert await store.history(anew.key, 0, 10) == []
    assert await store.position(anew.key, Position.USER_READ) == 0
    assert await say(store, anew, "m1") == told(1)
    await store.close()


def test_a_file_of_the_first_version_keeps_its_conversations(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at TEXT);")
        db.executescript(MIGRATIONS[0])
        db.execute("INSERT INTO schema_versions VALUES (1, '')")
        db.execute("INSERT INTO conversations VALUES (7, 'c', 'kai', '{\"id\": \"ai\"}', 'e', 1)")
        db.commit()

    async def read() -> Conversation | None:
        store = SqliteStore(path)
        await store.open()
        found = await store.find_conversation("c")
        await store.close()
        return found

    assert asyncio.run(read()) == Conversation(7, "c", "kai", {"id": "ai"}, "e", 0)


def test_a_file_of_the_third_version_keeps_what_is_unread_and_owes_what_was_not_answered(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path)) as db:
        db.create_function("hash_of", 1, hash_of)
        db.executescript("CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at TEXT);")
        for version, script in enumerate(MIGRATIONS[:3], 1):
            db.executescript(script)
            db.execute("INSERT INTO schema_versions VALUES (?, '')", (version,))
        for key, id, kinds in ((1, "answered", "uau"), (2, "never answered", "uaa"), (3, "done", "ua")):
            db.execute(
                "INSERT INTO conversations VALUES (?, ?, 'kai', '{\"id\": \"ai\"}', 'e', 1)", (key, id)
            )
            for seq, kind in enumerate(kinds, 1):
                type = "AI_RESPONSE" if kind == "a" else "CHAT_MESSAGE"
                values = (key, seq, f"m{seq}", type, "kai", "text", 100 + seq, hash_of(f"m{seq}"))
                columns = "conversation, seq, message_id, type, sender, data, created_at, id_hash"
                db.execute(f"INSERT INTO messages ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        db.execute("INSERT INTO positions VALUES (1, 'answered', 1), (3, 'answered', 1)")
        db.commit()

    async def read() -> tuple[list[int], list[OwedTurn], list[Outcome]]:
        store = SqliteStore(path, owes_answers=True)
        await store.open()
        unread = [summary.unread for summary in await store.summaries("kai", 10)]
        owed = await store.owed(0, 10)
        saved = await say(store, Conversation(2, "", "kai", {}, "", 0), "m4", ai=True)
        unread += [summary.unread for summary in await store.summaries("kai", 1)]
        await store.close()
        return unread, owed, saved

    unread, owed, saved = asyncio.run(read())
    assert unread == [2, 1, 1, 3]
    assert owed == [OwedTurn(1, "answered", 3, 103)]
    assert saved == told(4)


@asynchronous
async def test_no_seq_is_given_twice_where_the_newest_messages_were_removed(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = SqliteStore(path)
    await store.open()
    (room,) = await create(store, "c")
    await say(store, room, "m1", "m2", ai=True)
    await store.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE conversations SET last_seq = 2")
        db.execute("DELETE FROM messages")
    await store.open()
    found, summary = await store.find_conversation("c"), await store.summary("c")
    assert found is not None and summary is not None
    assert (found.last_seq, summary.conversation.last_seq, summary.unread) == (2, 2, 0)
    assert await say(store, room, "m3", ai=True) == told(3)
    assert [(s.conversation.last_seq, s.unread) for s in await store.summaries("kai", 1)] == [(3, 1)]
    await store.close()


@asynchronous
async def test_what_is_unread_is_found_in_as_many_steps_however_much_it_is(tmp_path: Path) -> None:
    steps = []
    for number, messages in enumerate((30, 3000)):
        store = SqliteStore(tmp_path / f"{number}.db", connection=Counted)
        await store.open()
        (room,) = await create(store, "c")
        await say(store, room, *(f"m{n}" for n in range(messages)), ai=True)
        Counted.steps = 0
        summary = await store.summary("c")
        assert summary is not None and summary.unread == messages
        steps.append(Counted.steps)
        await store.close()
    assert 0 < steps[1] <= steps[0] + 10  # the tree of an index may be a level deeper


class Counted(apsw.Connection):
    """Counts what SQLite's machine executes, in all connections."""

    steps = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_progress_handler(self._step, 1)

    @classmethod
    def _step(cls) -> bool:
        cls.steps += 1
        return False
