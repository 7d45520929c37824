"""Nothing that the store does takes longer because the history is long."""

import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from server.core.model import Advance, Position
from server.core.owed import Pause
from server.ports import Batch
from server.protocol import MessageType
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous
from tests.support.sqlite_faults import Tap
from tests.support.store import create, draft, opened, save, whole_history

_PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE")


async def _do_everything(store: SqliteStore) -> None:
    (a,) = await create(store, "a")
    await save(store, draft(a.key, "m1"), draft(a.key, "m2"))
    await save(store, draft(a.key, "m1"), draft(a.key, "m3"))
    await store.find_conversation("a")
    await store.heads([a.key])
    await store.find_message(a.key, "m1")
    await whole_history(store, a.key)
    await store.history_before(a.key, None, 10)
    await store.summary("a")
    await store.summaries("kai", 10)
    await store.conversations_of("kai")
    await store.position(a.key, Position.USER_READ)
    await store.advance(Batch([Advance(a.key, Position.USER_READ, 1, time.monotonic())]))
    await _owe_and_settle(store, a.key)
    await store.is_healthy()
    await store.delete_conversations(["a"])


async def _owe_and_settle(store: SqliteStore, key: int) -> None:
    (turn,) = await store.owed(0, 10)
    await store.read_turn(key, 200, 20)
    tried = replace(turn, last_seq=1, attempts=1)
    await store.note_attempt(tried)
    await store.give_up(tried, 1)
    await store.backlog()
    (letter,) = await store.dead_letters(10)
    await store.replay_dead_letters("a", None)
    await store.replay_dead_letters(None, None)
    await store.replays(10)
    await store.end_replay(letter)
    await store.delete_dead_letter(letter.id)
    await store.delete_dead_letters("a")
    await store.take(key, 2, 1)
    await store.is_answered(key, 1)
    await store.cancel_taken(key, None, [2], 0)
    await store.cancel_taken(key, 1, [], 0)
    await store.pause(Pause(1, "410"))
    await store.paused()
    await store.resume()
    said = draft(key, "a1", sender="ai", type=MessageType.AI_RESPONSE, answers=2, undelivered=True)
    await save(store, said)
    (news,) = await store.undelivered((0, 0), 10)
    await store.news_told([(key, news.message.seq)])


@asynchronous
async def test_every_query_finds_messages_and_conversations_by_an_index(tmp_path: Path) -> None:
    tap = Tap()
    path = tmp_path / "chat.db"
    async with opened(SqliteStore(path, connection=tap.connection, owes_answers=True)) as store:
        assert isinstance(store, SqliteStore)
        await _do_everything(store)
    statements = {sql.strip() for sql in tap.statements if sql.strip().startswith(_PLANNED)}
    assert len(statements) > 15
    with closing(sqlite3.connect(path)) as db:
        for sql in statements - _of_files_without_tables():
            plan = db.execute(f"EXPLAIN QUERY PLAN {sql}", ["1"] * _parameters_of(sql)).fetchall()
            scans = [
                step[3]
                for step in plan
                if step[3].startswith(("SCAN messages", "SCAN conversations", "SCAN m", "SCAN c"))
            ]
            assert not scans, (sql, plan)


def _parameters_of(sql: str) -> int:
    """Count the parameters: each `?`, or up to the highest number where they have numbers."""
    numbers = re.findall(r"\?(\d+)", sql)
    return max(map(int, numbers)) if numbers else sql.count("?")


def _of_files_without_tables() -> set[str]:
    return {"SELECT 1 FROM sqlite_master WHERE name = 'schema_versions'"}


@asynchronous
async def test_a_start_takes_as_many_steps_with_a_long_history_as_with_a_short_one(tmp_path: Path) -> None:
    steps: list[int] = []
    for number, messages in enumerate((50, 5000)):
        path = tmp_path / f"{number}.db"
        async with opened(SqliteStore(path)) as store:
            (a,) = await create(store, "a")
            await save(store, *(draft(a.key, f"m{n}") for n in range(messages)))
        steps.append(await _steps_of_a_start(path))
    assert steps[0] > 0
    assert steps[1] <= steps[0] + 10  # the tree of a table may be a level deeper


async def _steps_of_a_start(path: Path) -> int:
    """What SQLite's machine executes."""
    count = 0

    def step() -> bool:
        nonlocal count
        count += 1
        return False

    class Counted(apsw.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_progress_handler(step, 1)

    async with opened(SqliteStore(path, connection=Counted)):
        pass
    return count
