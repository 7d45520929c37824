"""The SQLite file: who may read it, who owns it, its schema, and what is left after a kill."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from server.core.model import STORE_UNAVAILABLE, Conversation, Outcome
from server.ports import StoreUnavailable
from server.store import sqlite_schema, sqlite_upkeep
from server.store.file_lock import DatabaseInUse
from server.store.schema_faults import SchemaTooNew
from server.store.sqlite import SqliteStore
from server.store.sqlite_schema import MIGRATIONS, read_version
from tests.support.asynchronous import asynchronous, until
from tests.support.sqlite_faults import Tap
from tests.support.store import create, draft, opened, save, told, whole_history


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@asynchronous
async def test_only_the_owner_can_read_what_people_say(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(SqliteStore(path)) as store:
            (a,) = await create(store, "a")
            await save(store, draft(a.key, "m1"))
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"), 384)


@asynchronous
async def test_a_copied_database_that_others_could_read_is_the_owners_alone_once_it_is_opened(
    path: Path,
) -> None:
    async with opened(SqliteStore(path)) as store:
        await create(store, "a")
        for file in path.parent.iterdir():
            shutil.copy(file, path.parent / f"copied-{file.name}")
            (path.parent / f"copied-{file.name}").chmod(0o644)
    copy = path.with_name("copied-chat.db")
    link = path.with_name("link.db")
    link.symlink_to(copy)
    async with opened(SqliteStore(link)):
        modes = [Path(f"{copy}{end}").stat().st_mode & 0o777 for end in ("", "-wal", "-shm")]
    assert modes == [0o600] * 3


@asynchronous
async def test_a_file_called_as_sqlite_calls_its_memory_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seq in (1, 2):
        async with opened(SqliteStore(Path(":memory:"))) as store:
            (a,) = await create(store, "a")
            assert await save(store, draft(a.key, f"m{seq}")) == told(seq)


@asynchronous
async def test_closing_leaves_the_database_in_one_file(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "m1"))
    assert sorted(file.name for file in path.parent.iterdir()) == ["chat.db", "chat.db.lock"]


@asynchronous
async def test_what_was_deleted_is_nowhere_in_the_file(path: Path) -> None:
    words = [f"a-word-of-the-past-{number}".encode() for number in range(50)]
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await save(store, *(draft(a.key, f"m{number}", word.decode()) for number, word in enumerate(words)))
        await save(store, draft(b.key, "m1", "stays"))
    assert all(word in path.read_bytes() for word in words)
    async with opened(SqliteStore(path)) as store:
        await store.delete_conversations(["a"])
    left = path.read_bytes()
    assert b"stays" in left
    assert b"a-word-of-the-past" not in left


@asynchronous
async def test_a_second_owner_is_refused_with_the_firsts_process_id_also_by_another_name(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with opened(SqliteStore(path)):
        for name in (path, link):
            with pytest.raises(DatabaseInUse, match=f"in use by process {os.getpid()}") as refusal:
                await SqliteStore(name).open()
            assert refusal.value.pid == os.getpid()
    async with opened(SqliteStore(link)):
        pass


@asynchronous
async def test_a_start_that_fails_leaves_the_file_free(path: Path) -> None:
    path.write_text("This is no database. " * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        await SqliteStore(path).open()
    path.unlink()
    async with opened(SqliteStore(path)):
        pass


@asynchronous
async def test_what_cannot_be_opened_is_refused_by_name(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable, match=r"chat\.db: Is a directory"):
        await SqliteStore(path).open()
    with pytest.raises(StoreUnavailable, match=r"missing/chat\.db: No such file or directory"):
        await SqliteStore(path.parent / "missing" / "chat.db").open()


@pytest.mark.parametrize(("is_durable", "synchronous"), [(True, 2), (False, 1)])  # FULL, NORMAL
@asynchronous
async def test_durability_is_how_sqlite_syncs_and_the_log_is_written_ahead(
    path: Path, is_durable: bool, synchronous: int
) -> None:
    tap = Tap()
    found: list[tuple[int, str]] = []

    def ask(db: apsw.Connection) -> None:
        found.append((db.execute("PRAGMA synchronous").get, db.execute("PRAGMA journal_mode").get))

    async with opened(SqliteStore(path, is_durable, tap.connection)):
        tap.on_each_connection(ask)
    assert found == [(synchronous, "wal")] * 2  # one writes, one reads


# ---- schema ---------------------------------------------------------------------------------------------


def _recorded(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT version FROM schema_versions ORDER BY version")]


@asynchronous
async def test_each_version_of_the_schema_is_recorded_once(path: Path) -> None:
    for _ in range(2):
        async with opened(SqliteStore(path)):
            pass
        assert _recorded(path) == list(range(1, len(MIGRATIONS) + 1))


@asynchronous
async def test_a_file_of_the_version_before_is_migrated_with_its_messages(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "m1"), draft(a.key, "m2"))
    later = "ALTER TABLE messages ADD COLUMN mood TEXT; UPDATE messages SET mood = 'good';"
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*MIGRATIONS, later))
    async with opened(SqliteStore(path)) as store:
        assert [m.message_id for m in await whole_history(store, a.key)] == ["m1", "m2"]
        assert await save(store, draft(a.key, "m3")) == told(3)
    assert read_version(path) == len(MIGRATIONS) + 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT mood FROM messages").fetchall() == [("good",), ("good",), (None,)]


@asynchronous
async def test_a_message_of_before_ids_were_hashed_is_found_by_its_id_and_not_saved_again(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("".join(MIGRATIONS[:2]))
        db.executescript("""
            CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at TEXT);
            INSERT INTO schema_versions VALUES (1, ''), (2, '');
            INSERT INTO conversations VALUES (1, 'a', 'kai', '{"id": "ai"}', 'e', 0);
            INSERT INTO messages (conversation, seq, message_id, type, sender, data, created_at)
            VALUES (1, 1, 'm1', 'CHAT_MESSAGE', 'kai', 'hello', 0),
                   (1, 2, 'm2', 'CHAT_MESSAGE', 'kai', 'hello', 0);
        """)
    async with opened(SqliteStore(path)) as store:
        found = await store.find_message(1, "m2")
        assert found is not None and (found.seq, found.data) == (2, "hello")
        resent, new = draft(1, "m1", data="hello", sender="kai"), draft(1, "m3")
        assert await save(store, resent, new) == told(Outcome.duplicate(1), 3)


@asynchronous
async def test_a_migration_that_fails_changes_nothing_and_can_be_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(SqliteStore(path)):
        pass
    monkeypatch.setattr(
        sqlite_schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE extra (x); CREATE nonsense;")
    )
    with pytest.raises(StoreUnavailable, match="syntax error"):
        await SqliteStore(path).open()
    assert read_version(path) == len(MIGRATIONS)
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE extra (x);"))
    async with opened(SqliteStore(path)):
        pass
    assert read_version(path) == len(MIGRATIONS) + 1


@asynchronous
async def test_a_file_of_a_later_program_is_refused_and_left_as_it_is(path: Path) -> None:
    async with opened(SqliteStore(path)):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO schema_versions VALUES (99, '')")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match="version 99"):
            await SqliteStore(path).open()
    assert path.read_bytes() == before


# ---- after a kill ---------------------------------------------------------------------------------------

_WRITES_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from server.store.sqlite import SqliteStore
from tests.support.store import create, draft, save

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    keys = [c.key for c in await create(store, "a", "b", "c")]
    for round in range(1_000_000):
        drafts = [draft(key, f"{round}-{n}") for n in range(1 + round % 7) for key in keys]
        for draft_, outcome in zip(drafts, await save(store, *drafts)):
            print(draft_.conversation_key, draft_.message_id, outcome.seq, flush=True)

asyncio.run(main())
"""


def test_what_was_answered_before_a_kill_is_there_once_with_its_seq(path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITES_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(500)]
    writer.kill()
    lines += writer.stdout.read().splitlines(keepends=True)
    writer.stdout.close()
    writer.wait()
    acked = [tuple(line.split()) for line in lines if line.endswith("\n")]

    async def read() -> list[Conversation]:
        async with opened(SqliteStore(path)) as store:
            conversations = [found for id in "abc" if (found := await store.find_conversation(id))]
            for conversation in conversations:
                stored = await whole_history(store, conversation.key)
                assert [m.seq for m in stored] == list(range(1, len(stored) + 1))
                in_database.update((str(conversation.key), m.message_id, str(m.seq)) for m in stored)
            return conversations

    in_database: Counter[tuple[str, ...]] = Counter()
    conversations = asyncio.run(read())
    assert len(acked) >= 500
    assert all(in_database[entry] == 1 for entry in acked)
    assert {conversation.epoch for conversation in conversations} == {"e1"}


@asynchronous
async def test_the_log_is_copied_back_when_it_is_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_MOST_PAGES", 50)
    async with opened(SqliteStore(path)) as store:
        (a,) = await create(store, "a")
        for batch in range(20):
            await save(store, *(draft(a.key, f"{batch}-{n}", data="x" * 2000) for n in range(20)))
        assert path.stat().st_size > 400_000  # of 800,000 bytes of text
        assert path.with_name("chat.db-wal").stat().st_size < 400_000


@asynchronous
async def test_whatever_writes_makes_the_log_due_and_not_messages_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_MOST_PAGES", 50)
    async with opened(SqliteStore(path)) as store:
        for number in range(300):
            await create(store, f"c{number}")
        assert path.with_name("chat.db-wal").stat().st_size < 500_000


@asynchronous
async def test_a_reader_that_holds_the_log_back_does_not_make_every_commit_copy_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_MOST_PAGES", 50)
    tap = Tap()
    async with opened(SqliteStore(path, connection=tap.connection)) as store:
        await create(store, "a")
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM messages").fetchall()
            for number in range(200):
                await create(store, f"c{number}")
    copied = [sql for sql in tap.statements if "PASSIVE" in sql]
    assert 2 < len(copied) < 40


# ---- hurt, moved, replaced ------------------------------------------------------------------------------


@asynchronous
async def test_a_read_that_finds_damage_is_an_outage_that_the_log_tells(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        a, b = await create(store, "a", "b")
        await save(store, *(draft(a.key, f"m{n}", "x" * 1000) for n in range(300)))
        await save(store, draft(b.key, "m1"))
    with path.open("r+b") as file:  # pages in the middle, of the first conversation's texts
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 20_000)
    async with opened(SqliteStore(path)) as store:
        assert await store.is_healthy()
        with capture_logs() as logs:
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await whole_history(store, a.key)
        assert not await store.is_healthy()
        assert [line["event"] for line in logs] == ["the database is damaged"]
        assert "doctor --deep" in logs[0]["what_to_do"]
        assert len(await whole_history(store, b.key)) == 1


@pytest.mark.parametrize("is_replaced", [False, True])
@asynchronous
async def test_a_file_that_is_removed_or_replaced_is_noticed_and_written_to_no_more(
    path: Path, is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_BEAT", 0.02)
    async with opened(SqliteStore(path)) as store:
        assert isinstance(store, SqliteStore)
        (a,) = await create(store, "a")
        with capture_logs() as logs:
            path.rename(path.with_name("moved.db"))
            if is_replaced:
                path.write_bytes(b"")
            await until(lambda: not store._file.is_sound)
            assert not await store.is_healthy()
            assert await save(store, draft(a.key, "m1")) == [Outcome.refused(STORE_UNAVAILABLE)]
            with pytest.raises(StoreUnavailable):
                await create(store, "b")
            path.with_name("moved.db").replace(path)
            await until(lambda: store._file.is_sound)
            assert await store.is_healthy()
        assert await save(store, draft(a.key, "m1")) == told(1)
        events = [line["event"] for line in logs if "file" in line["event"] and "save" not in line["event"]]
        assert events == [
            "the database file was removed or replaced",
            "the database file is in its place again",
        ]


@asynchronous
async def test_a_start_waits_while_another_process_writes(path: Path) -> None:
    async with opened(SqliteStore(path)) as store:
        await create(store, "a")
    with closing(apsw.Connection(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        store = SqliteStore(path)
        starting = asyncio.ensure_future(store.open())
        await asyncio.sleep(0.3)
        assert not starting.done()
        other.execute("COMMIT")
        await starting
    assert await store.find_conversation("a") is not None
    await store.close()
