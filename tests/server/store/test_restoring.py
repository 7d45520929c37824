"""Devices count in a log that a restored backup does not have: it must go by another epoch."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from server.store import sqlite_upkeep
from server.store.restoring import Mark, is_restored
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous, until
from tests.support.store import create, draft, opened, save

SEEN = Mark("t7", newest=100)


@pytest.mark.parametrize(
    ("now", "before", "promised", "restored"),
    [
        (Mark("t7", 100), SEEN, "", False),
        (Mark("t7", 150), SEEN, "", False),
        (Mark("t7", 99), SEEN, "", True),
        (Mark("t6", 100), SEEN, "", True),
        (Mark("t6", 150), SEEN, "", True),
        (Mark("t8", 100), SEEN, "t8", False),
        (Mark("t7", 100), SEEN, "t8", False),
        (Mark("t8", 99), SEEN, "t8", True),
        (Mark("t7", 1), None, "", True),
        (Mark("t8", 1), None, "t8", False),
        (Mark("t7", 0), None, "", False),
        (Mark("", 100), Mark("", 100), "", False),
    ],
)
def test_a_database_is_restored_when_it_lacks_its_end_or_is_not_what_the_last_start_left(
    now: Mark, before: Mark | None, promised: str, restored: bool
) -> None:
    assert is_restored(now, before, promised) is restored


def _read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


async def _epochs(path: Path) -> list[str]:
    async with opened(SqliteStore(path)) as store:
        return [found.epoch for id in ("a", "b") if (found := await store.find_conversation(id))]


async def _chat(path: Path, *message_ids: str) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await save(store, *(draft(c.key, message_id) for c in (a, b) for message_id in message_ids))


def _names(count: int, prefix: str = "m") -> Iterator[str]:
    return (f"{prefix}{number}" for number in range(count))


@asynchronous
async def test_epochs_stay_from_start_to_start(path: Path) -> None:
    for message_id in ("m1", "m2"):
        await _chat(path, message_id)
        assert await _epochs(path) == ["e1", "e1"]


@asynchronous
async def test_epochs_stay_where_all_files_are_copied_to_another_place(path: Path) -> None:
    await _chat(path, "m1")
    other = path.parent / "moved"
    shutil.copytree(path.parent, other)
    assert await _epochs(other / path.name) == ["e1", "e1"]


@asynchronous
async def test_a_restored_backup_gives_every_conversation_a_new_epoch_once(path: Path) -> None:
    await _chat(path, "m1")
    backup = path.with_name("backup.db")
    shutil.copyfile(path, backup)
    await _chat(path, "m2")
    shutil.copyfile(backup, path)
    first = await _epochs(path)
    assert len(set(first) | {"e1"}) == 3
    assert await _epochs(path) == first
    await _chat(path, "m3")
    assert await _epochs(path) == first
    shutil.copyfile(backup, path)
    assert not set(await _epochs(path)) & {*first, "e1"}


@asynchronous
async def test_a_backup_is_known_also_where_a_deletion_made_place_for_as_many_messages(path: Path) -> None:
    await _chat(path, *_names(10))
    backup = path.with_name("backup.db")
    shutil.copyfile(path, backup)
    async with opened(SqliteStore(path)) as store:
        await store.delete_conversations(["b"])
        (a,) = await create(store, "a")
        await save(store, *(draft(a.key, name) for name in _names(10, "later")))
    shutil.copyfile(backup, path)
    assert "e1" not in await _epochs(path)


@asynchronous
async def test_a_backup_taken_and_restored_within_one_start_is_known_by_what_it_lacks(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await save(store, *(draft(b.key, name) for name in _names(10)))
        backup = path.with_name("backup.db")
        for end in ("", "-wal"):
            shutil.copyfile(f"{path}{end}", f"{backup}{end}")
        await store.delete_conversations(["b"])
        await save(store, *(draft(a.key, name) for name in _names(3)))
    for end in ("", "-wal"):
        shutil.copyfile(f"{backup}{end}", f"{path}{end}")
    assert "e1" not in await _epochs(path)


@asynchronous
async def test_a_database_that_went_on_elsewhere_is_another_log(path: Path) -> None:
    await _chat(path, "m1")
    other = path.parent / "elsewhere"
    shutil.copytree(path.parent, other)
    await _chat(path, "m2")
    await _chat(other / path.name, "m2", "m3")
    shutil.copyfile(other / path.name, path)
    assert "e1" not in await _epochs(path)


@pytest.mark.parametrize(
    "mark", ["", "12345", "12345 - - -", "12345 t x -", "12345 1 x", "\0" * 50, "\xff" * 50]
)
@asynchronous
async def test_without_a_mark_a_database_with_messages_counts_as_restored(path: Path, mark: str) -> None:
    await _chat(path, "m1")
    path.with_name("chat.db.lock").write_text(mark, encoding="latin-1")
    assert "e1" not in await _epochs(path)


@asynchronous
async def test_a_start_that_ended_between_its_promise_and_its_token_changes_nothing(path: Path) -> None:
    await _chat(path, "m1")
    lock = path.with_name("chat.db.lock")
    pid, token, newest, _ = lock.read_text().split()
    lock.write_text(f"{pid} {token} {newest} promised")
    assert await _epochs(path) == ["e1", "e1"]
    pid, token, newest, _ = lock.read_text().split()
    lock.write_text(f"{pid} t-before {newest} {token}")
    assert await _epochs(path) == ["e1", "e1"]


@asynchronous
async def test_a_mark_of_a_version_without_tokens_is_believed(path: Path) -> None:
    await _chat(path, "m1")
    async with opened(SqliteStore(path)) as store:
        assert isinstance(store, SqliteStore)
        await store._thread.submit(
            lambda: store._writer.change(lambda db: db.execute("UPDATE log SET token = ''"))
        )
    path.with_name("chat.db.lock").write_text("12345 77 2")
    assert await _epochs(path) == ["e1", "e1"]


@asynchronous
async def test_deleting_the_newest_messages_is_no_restoring(path: Path) -> None:
    await _chat(path, "m1", "m2")
    async with opened(SqliteStore(path)) as store:
        await store.delete_conversations(["b"])
    assert await _epochs(path) == ["e1"]


@asynchronous
@pytest.mark.parametrize("resent", [[], ["a1"]], ids=["together", "one by one"])
async def test_an_id_that_a_removed_message_had_is_given_to_no_other(path: Path, resent: list[str]) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await save(store, draft(a.key, "a1"), *(draft(b.key, name) for name in _names(10)))
        await store.delete_conversations(["b"])
        await until(lambda: not _read(path, "SELECT conversation FROM deleted"), 5)
        batch = [draft(a.key, name) for name in (*resent, "a2", "a3")]
        assert [outcome.seq for outcome in await save(store, *batch)][-2:] == [2, 3]
    assert _read(path, "SELECT id FROM messages") == [(1,), (12,), (13,)]


@asynchronous
async def test_the_mark_follows_while_the_store_is_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_BEAT", 0.01)
    lock = path.with_name("chat.db.lock")
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        for number in range(1, 4):
            await save(store, draft(a.key, f"m{number}"))
            while lock.read_text().split()[2] != str(number):  # the test's time limit ends it
                await store.is_healthy()
