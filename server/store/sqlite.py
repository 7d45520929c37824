"""The store on one SQLite file: WAL, group commit, one thread that writes and one that reads."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import structlog

from server.core.model import (
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
    StoredMessage,
    Summary,
)
from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered
from server.ports import Batch, Commit, DoneCommit, PendingCommit, StoreUnavailable
from server.store import sqlite_turns
from server.store.file_lock import FileLock
from server.store.read_gate import ReadGate
from server.store.schema_faults import SchemaTooNew
from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_heads import Heads
from server.store.sqlite_rows import (
    FIND_CONVERSATION,
    MESSAGE_COLUMNS,
    conversation_of,
    find_message,
    message_of,
)
from server.store.sqlite_saving import MAX_ROWS, Saving
from server.store.sqlite_schema import upgrade
from server.store.sqlite_upkeep import SqliteUpkeep, begin
from server.store.sqlite_writer import SqliteWriter
from server.store.worker import Worker

R = TypeVar("R")
log = structlog.get_logger()

# The way back by a turn of the loop takes as long as a commit on a fast disk. So the loop waits for a small
# batch where such commits have been quick; and never longer than that, since any of them may be the one that
# the disk holds up.
_QUICK_SECONDS: Final = 0.002
_PATIENCE: Final = 2  # milliseconds
_SMALL_BATCH: Final = 16
_OPEN_MS: Final = 10_000  # for another process that writes to let us in
_READ_MS: Final = 1_000  # the same for a read, which only the repair after a crash holds up
_DELETED_AT_ONCE: Final = 50  # conversations, in one commit
_CACHE_KIB: Final = 16384
_PAGE_BYTES: Final = 2048  # a commit writes whole pages: a small one takes 5% less than with SQLite's 4096
_STATEMENTS: Final = MAX_ROWS + 32  # an INSERT of each size, prepared once, and the rest

_HISTORY = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?"
_HISTORY_BEFORE = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_BEYOND_EVERY_SEQ: Final = 1 << 62
_FIRST: Final = itemgetter(0)  # column
# The newest message of each conversation and how far each side has got; a WHERE follows. What is unread is
# not counted: each message tells how many of the AI's there are up to it.
_SUMMARY_ROW = """
SELECT c.key, c.id, c.user_id, c.ai, c.epoch, max(c.last_seq, coalesce(m.seq, 0)),
    coalesce(p.seq, 0), coalesce(r.seq, 0), coalesce(a.seq, 0),
    coalesce(m.ai_count - (
        SELECT ai_count - (type = 'AI_RESPONSE') FROM messages
        WHERE conversation = c.key AND seq > coalesce(p.seq, 0) ORDER BY seq LIMIT 1), 0),
    m.seq, m.message_id, m.type, m.sender, m.data, m.created_at, m.client_timestamp, m.finish
FROM conversations c
LEFT JOIN messages m ON m.conversation = c.key
    AND m.seq = (SELECT max(seq) FROM messages WHERE conversation = c.key)
LEFT JOIN positions p ON p.conversation = c.key AND p.position = 'user_read'
LEFT JOIN positions r ON r.conversation = c.key AND r.position = 'ai_read'
LEFT JOIN positions a ON a.conversation = c.key AND a.position = 'answered'
"""
_SUMMARY = _SUMMARY_ROW + "WHERE c.id = ?"
_SUMMARIES = (
    _SUMMARY_ROW
    + "WHERE c.user_id = ? ORDER BY coalesce(m.created_at, c.created_at) DESC, c.key DESC LIMIT ?"
)
_HEADS = """
SELECT key, max(last_seq, (SELECT coalesce(max(seq), 0) FROM messages WHERE conversation = key))
FROM conversations WHERE key IN (SELECT value FROM json_each(?))"""
_CONVERSATIONS_OF = "SELECT id FROM conversations WHERE user_id = ?"
_POSITION = "SELECT seq FROM positions WHERE conversation = ? AND position = ?"


class SqliteStore:
    """Implements MessageStore.

    `is_durable`: an ACK survives a loss of power, not only of the process. `connection` makes the
    connections to the file. `owes_answers`: a responder is switched on, see TurnStore.
    """

    backend = "sqlite"
    lanes = 1

    def __init__(
        self,
        path: Path,
        is_durable: bool = True,
        connection: type[apsw.Connection] = apsw.Connection,
        owes_answers: bool = False,
    ) -> None:
        self._path = path
        self._owes_answers = owes_answers
        self._is_durable = is_durable
        self._connection = connection
        self._lock = FileLock(path)
        self._thread: Worker
        self._reader_thread: Worker
        self._write_connection: WriteConnection
        self._heads: Heads
        self._saving: Saving
        self._writer: SqliteWriter
        self._reader: apsw.Connection
        self._loop: asyncio.AbstractEventLoop
        self._commit_seconds = 1.0  # of small batches, until it is known better
        self._file = SqliteFile(path)
        self._gate = ReadGate()
        self._upkeep: SqliteUpkeep

    async def open(self) -> None:
        """Takes the file and brings its schema up to date. A restored backup begins new epochs.

        Raises DatabaseInUse, SchemaTooNew, StoreUnavailable.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._lock.acquire()
            await self._loop.run_in_executor(None, self._open)
        except (OSError, apsw.Error) as fault:
            self._lock.release()
            raise StoreUnavailable(f"{self._path}: {getattr(fault, 'strerror', fault)}") from None
        except SchemaTooNew:
            self._lock.release()
            raise
        self._thread = Worker("sqlite-writer", _PATIENCE)
        self._reader_thread = Worker("sqlite-reader")
        self._upkeep = SqliteUpkeep(
            self._thread,
            self._write_connection,
            self._heads,
            self._lock,
            self._file,
            self._gate,
            self._reader.interrupt,
        )
        self._upkeep.start()

    async def close(self) -> None:
        """Everything submitted is done first."""
        await self._upkeep.stop()
        await self._reader_thread.submit(self._reader.close)
        await self._reader_thread.stop()
        await self._thread.submit(self._write_connection.close)
        await self._thread.stop()
        self._file.close()
        self._lock.release()

    def when_replaced(self, tell: Callable[[], None]) -> None:
        """Never: one process owns it."""

    async def is_healthy(self) -> bool:
        try:
            await self._read(_FIRST, "SELECT max(version) FROM schema_versions")
        except StoreUnavailable:
            return False
        return self._file.is_sound

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        size = len(batch.items)
        if size > _SMALL_BATCH:
            return self._commit(lambda: self._saving.save(batch))
        if self._commit_seconds > _QUICK_SECONDS or self._thread.pending:
            return self._commit(lambda: self._save_small(batch))
        saved = self._thread.submit_and_wait(lambda: self._save_small(batch))
        return PendingCommit(saved) if isinstance(saved, asyncio.Future) else DoneCommit(saved)

    def _save_small(self, batch: Batch[Draft]) -> list[Outcome]:
        """Saves in the thread, and follows how long that takes: a moving average over some ten."""
        started = time.perf_counter()
        saved = self._saving.save(batch)
        self._commit_seconds += (time.perf_counter() - started - self._commit_seconds) / 8
        return saved

    def create_conversations(self, batch: Batch[NewConversation]) -> Commit[Conversation]:
        return self._commit(lambda: self._writer.create_conversations(batch))

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        found = await self._read(conversation_of, FIND_CONVERSATION, conversation_id)
        return found[0] if found else None

    async def heads(self, keys: list[int]) -> dict[int, int]:
        return dict(await self._read(tuple, _HEADS, json.dumps(keys)))

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        return await self._on_reader(lambda: find_message(self._reader, key, message_id))

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return await self._read(message_of, _HISTORY, key, after, limit)

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        end = _BEYOND_EVERY_SEQ if before is None else before
        return (await self._read(message_of, _HISTORY_BEFORE, key, end, limit))[::-1]

    async def summary(self, conversation_id: str) -> Summary | None:
        found = await self._read(_summary_of, _SUMMARY, conversation_id)
        return found[0] if found else None

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        return await self._read(_summary_of, _SUMMARIES, user_id, limit)

    async def conversations_of(self, user_id: str) -> list[str]:
        return await self._read(_FIRST, _CONVERSATIONS_OF, user_id)

    def advance(self, batch: Batch[Advance]) -> Commit[bool]:
        return self._commit(lambda: self._writer.advance(batch))

    async def position(self, key: int, position: Position) -> int:
        found: list[int] = await self._read(_FIRST, _POSITION, key, position.value)
        return found[0] if found else 0

    async def owed(self, after: int, limit: int, before: int | None = None) -> list[OwedTurn]:
        return await self._on_reader(lambda: sqlite_turns.owed(self._reader, after, limit, before))

    async def backlog(self) -> Backlog:
        return await self._on_reader(lambda: sqlite_turns.backlog(self._reader))

    async def read_turn(self, key: int, limit: int, history: int) -> TurnMessages | None:
        return await self._on_reader(lambda: sqlite_turns.read_turn(self._reader, key, limit, history))

    async def note_attempt(self, turn: OwedTurn) -> bool:
        return await self._change(lambda db: sqlite_turns.note_attempt(db, turn))

    async def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        return await self._thread.submit(lambda: self._writer.give_up(turn, failed_at))

    async def take(self, key: int, seq: int, until: int) -> bool:
        return await self._thread.submit(lambda: self._writer.take(key, seq, until))

    async def cancel_taken(self, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
        return await self._change(lambda db: sqlite_turns.cancel_taken(db, key, seq, kept, now))

    async def is_answered(self, key: int, seq: int) -> bool:
        return await self._on_reader(lambda: sqlite_turns.is_answered(self._reader, key, seq))

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        return await self._on_reader(lambda: sqlite_turns.dead_letters(self._reader, limit))

    async def replay_dead_letters(self, conversation_id: str | None, since: int | None) -> int:
        return await self._change(lambda db: sqlite_turns.replay_dead_letters(db, conversation_id, since))

    async def replays(self, limit: int) -> list[DeadLetter]:
        return await self._on_reader(lambda: sqlite_turns.replays(self._reader, limit))

    async def end_replay(self, letter: DeadLetter) -> None:
        await self._change(lambda db: sqlite_turns.end_replay(db, letter))

    async def delete_dead_letters(self, conversation_id: str) -> int:
        return await self._change(lambda db: sqlite_turns.delete_dead_letters(db, conversation_id))

    async def delete_dead_letter(self, id: int) -> None:
        await self._change(lambda db: sqlite_turns.delete_dead_letter(db, id))

    async def pause(self, pause: Pause) -> None:
        await self._change(lambda db: sqlite_turns.pause(db, pause))

    async def resume(self) -> None:
        await self._change(sqlite_turns.resume)

    async def paused(self) -> Pause | None:
        return await self._on_reader(lambda: sqlite_turns.paused(self._reader))

    async def undelivered(self, after: tuple[int, int], limit: int) -> list[Undelivered]:
        return await self._on_reader(lambda: sqlite_turns.undelivered(self._reader, after, limit))

    async def news_told(self, messages: list[tuple[int, int]]) -> None:
        await self._change(lambda db: sqlite_turns.news_told(db, messages))

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        for start in range(0, len(conversation_ids), _DELETED_AT_ONCE):
            some = conversation_ids[start : start + _DELETED_AT_ONCE]
            await self._thread.submit(partial(self._writer.delete_conversations, some))
            self._upkeep.go_on_deleting()

    def _open(self) -> None:
        self._file.create()
        with closing(self._connect(_OPEN_MS)) as db:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
            db.execute("PRAGMA journal_mode = WAL")
            upgrade(db)
            if count := begin(db, self._lock):
                log.warning("a restored database: new epochs", file=str(self._path), conversations=count)
            self._file.opened()
            self._write_connection = WriteConnection(self._connect, self._file)
            self._heads = Heads(self._write_connection, self._owes_answers)
            self._saving = Saving(self._write_connection, self._heads)
            self._writer = SqliteWriter(self._write_connection, self._heads)
            self._reader = self._connect(_READ_MS)
        self._reader.execute("PRAGMA query_only = ON")

    def _connect(self, wait_ms: int = 0) -> apsw.Connection:
        """Never creates the file. The writer waits for locks itself: see WriteConnection."""
        name = str(self._path.absolute())  # of a file, also when it is called :memory:
        db = self._connection(name, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS)
        db.set_busy_timeout(wait_ms)
        db.execute(f"PRAGMA synchronous = {'FULL' if self._is_durable else 'NORMAL'}")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # see SqliteUpkeep
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute("PRAGMA secure_delete = ON")  # what was deleted does not stay in the file's free space
        return db

    def _commit(self, job: Callable[[], list[R]]) -> Commit[R]:
        return PendingCommit(self._thread.submit(job))

    async def _change(self, do: Callable[[apsw.Connection], R]) -> R:
        return await self._thread.submit(lambda: self._writer.change(do))

    async def _read(self, make: Callable[[Any], R], sql: str, *values: Any) -> list[R]:
        return await self._on_reader(lambda: list(map(make, self._reader.execute(sql, values))))

    async def _on_reader(self, job: Callable[[], R]) -> R:
        try:
            return await self._reader_thread.gather(lambda: self._gate.read(job))
        except (apsw.Error, ValueError) as fault:  # ValueError: of what cannot have been written by us
            self._file.note(fault)
            raise StoreUnavailable(str(fault)) from fault


def _summary_of(row: Any) -> Summary:
    last_message = None if row[10] is None else message_of(row[10:])
    return Summary(conversation_of(row[:6]), last_message, *row[6:10])
