"""Devices count in a log that a restored backup does not have: it must go by another epoch."""

import shutil
from pathlib import Path

import pytest

from server.store import sqlite
from server.store.restoring import Mark, is_restored
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous
from tests.support.store import create, draft, opened, save

SEEN = Mark(inode=7, newest=100)


@pytest.mark.parametrize(
    ("now", "before", "restored"),
    [
        (Mark(7, 100), SEEN, False),
        (Mark(7, 150), SEEN, False),
        (Mark(7, 99), SEEN, True),
        (Mark(7, 0), SEEN, True),
        (Mark(8, 100), SEEN, True),
        (Mark(8, 150), SEEN, True),
        (Mark(8, 0), SEEN, False),
        (Mark(7, 1), None, True),
        (Mark(7, 0), None, False),
    ],
)
def test_a_database_is_restored_when_it_lacks_its_end_or_is_another_file(
    now: Mark, before: Mark | None, restored: bool
) -> None:
    assert is_restored(now, before) is restored


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


@asynchronous
async def test_epochs_stay_from_start_to_start(path: Path) -> None:
    for message_id in ("m1", "m2"):
        await _chat(path, message_id)
        assert await _epochs(path) == ["e1", "e1"]


@asynchronous
async def test_a_restored_backup_gives_every_conversation_a_new_epoch_once(path: Path) -> None:
    await _chat(path, "m1")
    backup = path.with_name("backup.db")
    shutil.copyfile(path, backup)
    await _chat(path, "m2")
    shutil.copyfile(backup, path)  # into the same file
    first = await _epochs(path)
    assert len(set(first) | {"e1"}) == 3
    assert await _epochs(path) == first
    await _chat(path, "m3")
    assert await _epochs(path) == first
    shutil.copyfile(backup, path)
    assert not set(await _epochs(path)) & {*first, "e1"}


@asynchronous
async def test_a_backup_with_its_mark_is_known_by_its_being_another_file(path: Path) -> None:
    await _chat(path, "m1")
    folder = path.parent
    for name in ("chat.db", "chat.db.lock"):
        shutil.copyfile(folder / name, folder / f"{name}.backup")
    await _chat(path, "m2")
    for name in ("chat.db", "chat.db.lock"):
        (folder / f"{name}.backup").replace(folder / name)
    assert "e1" not in await _epochs(path)


@pytest.mark.parametrize("mark", ["", "12345", "12345 - -", "12345 1 x", "\0" * 50])
@asynchronous
async def test_without_a_mark_a_database_with_messages_counts_as_restored(path: Path, mark: str) -> None:
    await _chat(path, "m1")
    path.with_name("chat.db.lock").write_text(mark)
    assert "e1" not in await _epochs(path)


@asynchronous
async def test_deleting_the_newest_messages_is_no_restoring(path: Path) -> None:
    await _chat(path, "m1", "m2")
    async with opened(SqliteStore(path)) as store:
        await store.delete_conversations(["b"])
        assert path.with_name("chat.db.lock").read_text().split()[-1] == "2"  # also if it is killed now
    assert await _epochs(path) == ["e1"]


@asynchronous
async def test_the_mark_follows_while_the_store_is_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_MARK_SECONDS", 0.0)
    lock = path.with_name("chat.db.lock")
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        for number in range(1, 4):
            await save(store, draft(a.key, f"m{number}"))
            while lock.read_text().split()[-1] != str(number):  # the test's time limit ends it
                await store.is_healthy()
