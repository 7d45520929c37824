"""What SQLite does when the database does not do as it is told."""

import asyncio
import shutil
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from server.core.model import (
    CANNOT_BE_STORED,
    MESSAGE_ID_CONFLICT,
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Advance,
    Draft,
    Outcome,
    Position,
)
from server.ports import Batch, StoreUnavailable
from server.protocol import MessageType
from server.store import sqlite, sqlite_saving
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous, until
from tests.support.failing_sync import fail_every_sync
from tests.support.sqlite_faults import BROKEN, Run, Tap
from tests.support.store import create, draft, opened, save, told, whole_history

FIND = "SELECT seq, message_id"


@pytest.fixture
def tap() -> Tap:
    return Tap()


@pytest.fixture(params=["nobody waits for it", "the loop waits for it"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> SqliteStore:
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 60.0 if "loop" in request.param else 0.0)
    monkeypatch.setattr(sqlite, "_PATIENCE", 50)
    return SqliteStore(tmp_path / "chat.db", connection=tap.connection)


@asynchronous
async def test_a_commit_that_failed_although_it_was_done_is_answered_as_saved(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        tap.spoil("COMMIT", is_run=True)
        assert await save(store, draft(a.key, "m1"), draft(a.key, "m2")) == told(1, 2)
        assert await save(store, draft(a.key, "m3")) == told(3)
        assert len(await whole_history(store, a.key)) == 3


@asynchronous
async def test_a_commit_that_failed_is_answered_as_not_saved_and_its_seqs_are_given_again(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        tap.spoil("COMMIT")
        assert await save(store, draft(a.key, "m1"), draft(a.key, "m2")) == told(STORE_UNAVAILABLE) * 2
        assert await whole_history(store, a.key) == []
        assert await save(store, draft(a.key, "m2"), draft(a.key, "m1")) == told(1, 2)


@pytest.mark.parametrize("is_done", [True, False])
@asynchronous
async def test_after_a_failed_commit_each_draft_is_judged_by_itself(
    store: SqliteStore, tap: Tap, is_done: bool
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "old"))
        tap.spoil("COMMIT", is_run=is_done)
        found = await save(
            store,
            draft(a.key, "old"),
            draft(a.key, "old", data="other"),
            draft(a.key, "bad", data="\ud800"),
            draft(a.key, "new"),
            draft(a.key, "new"),
        )
        anew = [2, Outcome.duplicate(2)] if is_done else [STORE_UNAVAILABLE, STORE_UNAVAILABLE]
        assert found == told(Outcome.duplicate(1), MESSAGE_ID_CONFLICT, CANNOT_BE_STORED, *anew)


def answer_to_first(key: int, undelivered: bool = False) -> Draft:
    fields: dict[str, Any] = {"type": MessageType.AI_RESPONSE, "answers": 1, "undelivered": undelivered}
    return draft(key, "answer-1", sender="ai", **fields)


@pytest.mark.parametrize("is_done", [True, False])
@asynchronous
async def test_after_a_failed_commit_an_answer_and_its_position_are_both_there_or_both_not(
    tmp_path: Path, tap: Tap, is_done: bool
) -> None:
    owing = SqliteStore(tmp_path / "chat.db", connection=tap.connection, owes_answers=True)
    async with opened(owing) as store:
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "m1"))
        said = answer_to_first(a.key, undelivered=True)
        tap.spoil("COMMIT", is_run=is_done)
        assert await save(store, said) == (told(2) if is_done else told(STORE_UNAVAILABLE))
        assert await store.position(a.key, Position.ANSWERED) == (1 if is_done else 0)
        assert len(await store.owed(0, 10)) == (0 if is_done else 1)
        assert len(await store.undelivered((0, 0), 10)) == (1 if is_done else 0)
        assert await save(store, said, draft(a.key, "m2")) == told(Outcome.duplicate(2) if is_done else 2, 3)
        (turn,) = await store.owed(0, 10)
        assert turn.first_seq == 3


@pytest.mark.parametrize("statement", ["INSERT OR IGNORE INTO turns", "COMMIT"])
@asynchronous
async def test_a_message_whose_commit_failed_owes_an_answer_once_it_is_saved(
    tmp_path: Path, tap: Tap, statement: str
) -> None:
    owing = SqliteStore(tmp_path / "chat.db", connection=tap.connection, owes_answers=True)
    async with opened(owing) as store:
        (a,) = await create(store, "a")
        tap.spoil(statement, times=2)
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)
        tap.spoil(statement, times=0)
        assert await store.owed(0, 10) == []
        assert await save(store, draft(a.key, "m2")) == told(1)
        assert [turn.first_seq for turn in await store.owed(0, 10)] == [1]


@asynchronous
async def test_an_answered_position_whose_commit_failed_leaves_the_turn_to_be_answered(
    tmp_path: Path, tap: Tap
) -> None:
    owing = SqliteStore(tmp_path / "chat.db", connection=tap.connection, owes_answers=True)
    async with opened(owing) as store:
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "m1"))
        tap.spoil("COMMIT")
        with pytest.raises(StoreUnavailable):
            await store.advance(Batch([Advance(a.key, Position.ANSWERED, 1, 0.0)]))
        said = answer_to_first(a.key)
        assert await save(store, said) == told(2)
        assert await store.owed(0, 10) == []


@asynchronous
async def test_an_outcome_is_looked_up_until_the_database_answers(store: SqliteStore, tap: Tap) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        refused = 3

        def execute(sql: str, run: Run) -> apsw.Cursor:
            nonlocal refused
            if sql == "COMMIT" and refused == 3:
                run()
                raise BROKEN
            if sql.startswith(FIND) and refused:
                refused -= 1
                raise BROKEN
            return run()

        tap.on_execute = execute
        assert await save(store, draft(a.key, "m1")) == told(1)
        assert refused == 0


@asynchronous
async def test_an_outcome_that_cannot_be_looked_up_is_unknown_and_a_resend_settles_it(
    store: SqliteStore, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_saving, "_IN_DOUBT_SECONDS", 0.05)
    async with opened(store):
        (a,) = await create(store, "a")

        def execute(sql: str, run: Run) -> apsw.Cursor:
            if sql == "COMMIT":
                run()
            if sql == "COMMIT" or sql.startswith(FIND):
                raise BROKEN
            return run()

        tap.on_execute = execute
        assert await save(store, draft(a.key, "m1")) == told(OUTCOME_UNKNOWN)
        tap.on_execute = lambda sql, run: run()
        assert await save(store, draft(a.key, "m1"), draft(a.key, "m2")) == told(Outcome.duplicate(1), 2)


@asynchronous
async def test_what_a_failed_sync_left_in_the_log_is_overwritten_before_it_is_called_unsaved(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        tap.spoil("COMMIT")
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)
        after = tap.statements[tap.statements.index("COMMIT") :]
        writes = [statement for statement in after if statement.startswith("PRAGMA user_version")]
        assert len(writes) == 1


@asynchronous
async def test_a_commit_that_cannot_be_synced_stays_open_and_no_start_finds_it_later(
    tmp_path: Path, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_saving, "_IN_DOUBT_SECONDS", 0.05)
    names = ("chat.db", "chat.db-wal")

    def execute(sql: str, run: Run) -> apsw.Cursor:
        try:
            return run()
        except apsw.Error:
            if sql == "COMMIT":
                _copy(names, tmp_path, tmp_path / "at the failure")
            raise

    async with opened(SqliteStore(tmp_path / "chat.db", connection=tap.connection)) as store:
        assert isinstance(store, SqliteStore)
        (a,) = await create(store, "a")
        await until(lambda: store._upkeep.is_at_rest)  # the start empties the log
        await save(store, draft(a.key, "m1"))
        if not await store._thread.submit(fail_every_sync):
            pytest.skip("system calls cannot be filtered here")
        tap.on_execute = execute
        assert await save(store, draft(a.key, "m2")) == told(OUTCOME_UNKNOWN)
        _copy(names, tmp_path, tmp_path / "at the answer")
    assert _message_ids(tmp_path / "at the failure" / "chat.db") == ["m1", "m2"]
    assert _message_ids(tmp_path / "at the answer" / "chat.db") == ["m1"]


def _copy(names: Iterable[str], source: Path, target: Path) -> None:
    target.mkdir()
    for name in names:
        shutil.copy2(source / name, target)


def _message_ids(database: Path) -> list[str]:
    """As a process sees them that starts after a kill."""
    with closing(apsw.Connection(str(database))) as db:
        return [row[0] for row in db.execute("SELECT message_id FROM messages ORDER BY id")]


@asynchronous
async def test_the_loop_goes_on_while_an_outcome_is_looked_up(store: SqliteStore, tap: Tap) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        loop_went_on = threading.Event()

        def execute(sql: str, run: Run) -> apsw.Cursor:
            if sql == "COMMIT":
                raise BROKEN
            if sql.startswith(FIND):
                assert loop_went_on.wait(10)
            return run()

        tap.on_execute = execute
        saving = asyncio.ensure_future(store.save(Batch([draft(a.key, "m1")])))
        await asyncio.sleep(0)
        loop_went_on.set()
        assert await saving == told(STORE_UNAVAILABLE)


@asynchronous
async def test_a_connection_that_cannot_be_replaced_at_once_is_replaced_later(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        tap.on_execute = lambda sql, run: (_ for _ in ()).throw(BROKEN)
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)
        assert not await store.is_healthy()
        with pytest.raises(StoreUnavailable):
            await create(store, "b")
        with pytest.raises(StoreUnavailable):
            await store.find_conversation("a")
        tap.on_execute = lambda sql, run: run()
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)  # and reconnects
        assert await save(store, draft(a.key, "m1")) == told(1)
        assert await store.is_healthy()


@asynchronous
async def test_a_failed_creation_leaves_nothing_behind(store: SqliteStore, tap: Tap) -> None:
    async with opened(store):
        tap.spoil("COMMIT")
        with pytest.raises(StoreUnavailable):
            await create(store, "a", "b")
        assert await store.find_conversation("a") is None
        assert [c.id for c in await create(store, "a", "b")] == ["a", "b"]


@asynchronous
async def test_a_batch_that_is_withdrawn_just_before_its_claim_leaves_no_transaction_open(
    tmp_path: Path, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 0.0)
    async with opened(SqliteStore(tmp_path / "chat.db", connection=tap.connection)) as store:
        (a,) = await create(store, "a")
        batch = Batch([draft(a.key, "m1")])

        def execute(sql: str, run: Run) -> apsw.Cursor:
            cursor = run()
            if sql == "BEGIN IMMEDIATE":
                batch.withdraw(lambda d: True)
            return cursor

        tap.on_execute = execute
        assert await store.save(batch) == told()
        assert await save(store, draft(a.key, "m2")) == told(1)


@asynchronous
async def test_while_another_process_writes_a_batch_can_be_withdrawn_and_then_all_is_normal(
    store: SqliteStore, tmp_path: Path
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        other = apsw.Connection(str(tmp_path / "chat.db"))
        other.execute("BEGIN IMMEDIATE")
        batch = Batch([draft(a.key, "m1"), draft(a.key, "m2")])
        saving = asyncio.ensure_future(store.save(batch))
        await asyncio.sleep(0.05)
        assert not saving.done()
        assert len(batch.withdraw(lambda d: d.message_id == "m1") or []) == 1
        await asyncio.sleep(0.05)
        assert not saving.done()
        assert len(batch.withdraw(lambda d: True) or []) == 1
        assert await saving == told()
        waiting = asyncio.ensure_future(store.save(Batch([draft(a.key, "m3")])))
        other.execute("ROLLBACK")
        other.close()
        assert await waiting == told(1)


@asynchronous
async def test_a_full_disk_is_unavailable_and_all_is_normal_once_there_is_room(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        assert await save(store, draft(a.key, "m1")) == told(1)
        tap.on_each_connection(lambda db: db.execute("PRAGMA max_page_count = 1"))  # no more than there are
        large = [draft(a.key, f"large{number}", data="x" * 10_000) for number in range(5)]
        assert await save(store, *large) == told(STORE_UNAVAILABLE) * 5
        tap.on_each_connection(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        assert await save(store, *large) == told(2, 3, 4, 5, 6)
        assert len(await whole_history(store, a.key)) == 6


@asynchronous
async def test_what_the_database_says_is_logged_once_for_as_long_as_it_lasts(
    store: SqliteStore, tap: Tap
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        with capture_logs() as logs:
            for number in range(2):
                tap.spoil("INSERT", times=4)
                for again in range(2):
                    assert await save(store, draft(a.key, f"m{number}{again}")) == told(STORE_UNAVAILABLE)
                assert await save(store, draft(a.key, f"m{number}")) == told(number + 1)
        assert [(line["event"], line["error"]) for line in logs] == [
            ("the database does not save", "disk I/O error")
        ] * 2


@asynchronous
async def test_a_text_too_large_for_the_database_fails_alone(store: SqliteStore, tap: Tap) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        tap.on_each_connection(lambda db: db.limit(apsw.SQLITE_LIMIT_LENGTH, 1000))
        found = await save(store, draft(a.key, "m1"), draft(a.key, "m2", data="x" * 2000), draft(a.key, "m3"))
        assert found == told(1, CANNOT_BE_STORED, 2)


@asynchronous
async def test_a_seq_that_somebody_else_gave_meanwhile_is_not_given_again(
    store: SqliteStore, tmp_path: Path
) -> None:
    async with opened(store):
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "m1"))
        with closing(apsw.Connection(str(tmp_path / "chat.db"))) as other:
            other.set_busy_timeout(5000)
            other.execute(
                "INSERT INTO messages (conversation, seq, message_id, type, sender, data, created_at)"
                " VALUES (?, 2, 'x', 'CHAT_MESSAGE', 'kai', 'x', 1)",
                (a.key,),
            )
        assert await save(store, draft(a.key, "m2")) == told(3)
