"""The store on one SQLite file: WAL, group commit, one thread that writes and one that reads."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from server.core.model import Conversation, Draft, NewConversation, Outcome, StoredMessage
from server.ports import Batch, StoreUnavailable
from server.store.file_lock import FileLock
from server.store.sqlite_schema import upgrade
from server.store.sqlite_writer import (
    FIND_CONVERSATION,
    FIND_MESSAGE,
    MESSAGE_COLUMNS,
    SqliteWriter,
    conversation_of,
    message_of,
)
from server.store.worker import Worker

R = TypeVar("R")

# Under load a page of a conversation's index is written again by nearly every commit; the larger the
# log, the more of these a checkpoint copies back as one. 8192 pages are 32 MiB.
_CHECKPOINT_PAGES: Final = 8192
_CACHE_KIB: Final = 32768
_STATEMENTS: Final = 64

_HISTORY = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?"
_HISTORY_BEFORE = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_BEYOND_EVERY_SEQ: Final = 1 << 62


class SqliteStore:
    """Implements MessageStore. `is_durable`: an ACK survives a loss of power, not only of the process."""

    backend = "sqlite"

    def __init__(self, path: Path, is_durable: bool = True) -> None:
        self._path = path
        self._is_durable = is_durable
        self._lock = FileLock(path)
        self._thread: Worker
        self._reader_thread: Worker
        self._writer: SqliteWriter
        self._reader: sqlite3.Connection

    async def open(self) -> None:
        """Takes the file and brings its schema up to date.

        Raises DatabaseInUse, SchemaTooNew, StoreUnavailable.
        """
        try:
            self._lock.acquire()
        except OSError as fault:
            raise StoreUnavailable(f"{self._path}: {fault.strerror}") from None
        self._thread = Worker("sqlite-writer")
        self._reader_thread = Worker("sqlite-reader")
        try:
            await self._thread.submit(self._open)
        except sqlite3.Error as fault:
            raise StoreUnavailable(f"{self._path}: {fault}") from None

    async def close(self) -> None:
        """Everything submitted is done first."""
        await self._reader_thread.submit(self._reader.close)
        await self._reader_thread.stop()
        await self._thread.submit(self._writer.close)
        await self._thread.stop()
        self._lock.release()

    async def is_healthy(self) -> bool:
        try:
            await self._read("SELECT max(version) FROM schema_versions")
        except StoreUnavailable:
            return False
        return True

    def save(self, batch: Batch[Draft]) -> asyncio.Future[list[Outcome]]:
        return self._thread.submit(lambda: self._writer.save(batch))

    def create_conversations(self, batch: Batch[NewConversation]) -> asyncio.Future[list[Conversation]]:
        return self._thread.submit(lambda: self._writer.create_conversations(batch))

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        rows = await self._read(FIND_CONVERSATION, conversation_id)
        return conversation_of(rows[0]) if rows else None

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        rows = await self._read(FIND_MESSAGE, key, message_id)
        return message_of(rows[0]) if rows else None

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return [message_of(row) for row in await self._read(_HISTORY, key, after, limit)]

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        end = _BEYOND_EVERY_SEQ if before is None else before
        rows = await self._read(_HISTORY_BEFORE, key, end, limit)
        return [message_of(row) for row in reversed(rows)]

    def _open(self) -> None:
        # Created before SQLite would, so that nobody but the owner can read what people say.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = self._connect()
        db.execute("PRAGMA journal_mode = WAL")
        upgrade(db)
        db.close()
        self._writer = SqliteWriter(self._connect)
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")

    def _connect(self) -> sqlite3.Connection:
        """Autocommit, no waiting for locks: see SqliteWriter."""
        db = sqlite3.connect(
            self._path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
        db.execute(f"PRAGMA synchronous = {'FULL' if self._is_durable else 'NORMAL'}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return db

    async def _read(self, sql: str, *values: Any) -> list[Any]:
        return await self._on_reader(lambda: self._reader.execute(sql, values).fetchall())

    async def _on_reader(self, job: Callable[[], R]) -> R:
        try:
            return await self._reader_thread.submit(job)
        except sqlite3.Error as fault:
            raise StoreUnavailable(str(fault)) from fault
