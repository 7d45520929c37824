"""A deletion is one small commit; then rows go by steps, and nothing of them stays in any file."""

import asyncio
import random
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import pytest

from server.core.model import CONVERSATION_GONE, Outcome
from server.ports import Batch, MessageStore
from server.store import sqlite_upkeep
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous, until
from tests.support.store import create, draft, opened, save, told, whole_history

SECRET = "a-word-of-the-past"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


def _is_anywhere(path: Path, word: str = SECRET) -> bool:
    return any(word.encode() in file.read_bytes() for file in path.parent.glob("chat.db*"))


def _is_nowhere(path: Path, word: str) -> bool:
    return not _is_anywhere(path, word)


def _rows(path: Path) -> int:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return int(db.execute("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM deleted)").get)


async def _erased(path: Path, seconds: float = 5) -> None:
    """Wait until the rows are gone, and a second more as the promise has it, or less."""
    await until(lambda: not _rows(path), seconds)
    await until(lambda: not _is_anywhere(path), 1)


async def _fill(store: MessageStore, key: int, count: int, word: str = SECRET) -> None:
    for start in range(0, count, 100):
        await save(store, *(draft(key, f"m{start + n}", f"{word}-{start + n}") for n in range(100)))


@asynchronous
async def test_a_deleted_conversation_is_gone_at_once_and_its_id_free_for_another(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await _fill(store, a.key, 2000)
        await store.delete_conversations(["a"])
        assert await store.find_conversation("a") is None
        assert await store.summaries("kai", 10) == []
        assert await save(store, draft(a.key, "late")) == [Outcome.refused(CONVERSATION_GONE)]
        (anew,) = await create(store, "a")
        assert anew.key != a.key
        assert await whole_history(store, anew.key) == []
        assert await save(store, draft(anew.key, "m1")) == told(1)


@asynchronous
async def test_rows_are_removed_by_steps_between_which_others_commit(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await _fill(store, a.key, 3000)
        await store.delete_conversations(["a"])
        seqs = [await save(store, draft(b.key, f"m{number}")) for number in range(5)]
        assert seqs == [told(seq) for seq in range(1, 6)]
        assert _rows(path) > 5 + 1  # it is not through
        await until(lambda: _rows(path) == 5, 20)
        assert [m.seq for m in await whole_history(store, b.key)] == [1, 2, 3, 4, 5]


@asynchronous
async def test_what_one_process_did_not_come_to_remove_the_next_one_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_LAST_SECONDS", 0)
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await _fill(store, a.key, 3000)
        await store.delete_conversations(["a"])
    assert _rows(path) > 1
    async with opened(SqliteStore(path)):
        await _erased(path, 20)


@asynchronous
async def test_nothing_of_what_was_deleted_is_in_a_file_a_second_later_on_a_quiet_server(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await _fill(store, a.key, 500)
        assert _is_anywhere(path)
        await store.delete_conversations(["a"])
        await _erased(path)


@asynchronous
async def test_long_reads_of_ours_do_not_keep_what_was_deleted(path: Path) -> None:
    long = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000)
        SELECT max(i) FROM n, (SELECT count(*) FROM messages)"""
    async with opened(SqliteStore(path)) as store:
        assert isinstance(store, SqliteStore)
        a, b = await create(store, "a", "b")
        await _fill(store, a.key, 500)
        await save(store, draft(b.key, "m1", "stays"))
        reading = asyncio.ensure_future(store._read(tuple, long))
        await asyncio.sleep(0.1)
        await store.delete_conversations(["a"])
        await until(lambda: not _is_anywhere(path), 5)
        assert not reading.done()  # it began again
        assert await save(store, draft(b.key, "m2")) == told(2)
        assert await reading == [(10_000_000,)]


@asynchronous
async def test_it_is_gone_as_soon_as_another_process_lets_go_of_the_log(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await _fill(store, a.key, 500)
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM messages").fetchall()
            await store.delete_conversations(["a"])
            await asyncio.sleep(0.3)
            assert _is_anywhere(path)
            other.execute("COMMIT")
        await _erased(path)


@asynchronous
async def test_a_user_with_many_conversations_is_deleted_in_short_commits(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        ids = [f"c{number}" for number in range(120)]
        for conversation in await create(store, *ids):
            await save(store, draft(conversation.key, "m1", SECRET))
        await store.delete_conversations(ids)
        assert await store.conversations_of("kai") == []
        await _erased(path)


@asynchronous
async def test_while_one_deletion_follows_the_other_each_is_erased(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_LONGEST_WAIT", 0.05)
    async with opened(SqliteStore(path)) as store:
        short, long = await create(store, "short", "long")
        await _fill(store, short.key, 100, "short-lived")
        await _fill(store, long.key, 6000)
        await store.delete_conversations(["short", "long"])
        await until(lambda: not _is_anywhere(path, "short-lived"), 10)
        assert _rows(path) > 1  # of the long one


@asynchronous
async def test_withdrawn_batches_and_deletions_do_not_disturb_each_other(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await _fill(store, a.key, 500)
        await store.delete_conversations(["a"])
        batch = Batch([draft(b.key, "m1")])
        batch.withdraw(lambda d: True)
        assert await store.save(batch) == told()
        await _erased(path)


@asynchronous
async def test_pages_that_were_rearranged_keep_no_copy_of_what_is_deleted_later(path: Path) -> None:
    dice = random.Random(7)
    async with opened(SqliteStore(path)) as store:
        rooms = {c.id: c.key for c in await create(store, *(f"c{n}" for n in range(30)))}
        for number in range(60):
            lengths = {id: dice.choice((3, 30, 300)) for id in rooms}
            await save(
                store,
                *(
                    draft(key, f"m{number}", f"{SECRET}-{id}-" + "x" * lengths[id])
                    for id, key in rooms.items()
                ),
            )
        for id in dice.sample(sorted(rooms), len(rooms)):
            word = f"{SECRET}-{id}-"
            await store.delete_conversations([id])
            await until(partial(_is_nowhere, path, word), 10)
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        assert db.execute("PRAGMA integrity_check").get == "ok"
