"""The one connection that writes: what happens inside the writer thread."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import structlog

from server.core.model import (
    CANNOT_BE_STORED,
    CONVERSATION_GONE,
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    StoredMessage,
    all_saved,
    settle_resend,
)
from server.ports import Batch, StoreUnavailable
from server.protocol import MessageType
from server.store.restoring import Mark, mark_of
from server.store.sqlite_schema import hash_of

T = TypeVar("T")
log = structlog.get_logger()

_COLUMNS: Final = (
    "conversation, seq, message_id, type, sender, data, created_at, client_timestamp, finish, id_hash"
)
MESSAGE_COLUMNS: Final = "seq, message_id, type, sender, data, created_at, client_timestamp, finish"
_ROW: Final = "(?,?,?,?,?,?,?,?,?,?)"
# A batch goes in by one statement, up to this many rows: the thread takes the interpreter's lock once a
# statement, and under load waits for it each time. SQLite allows 32766 values in one.
MAX_ROWS: Final = 128
_INSERT_ONE: Final = f"INSERT INTO messages ({_COLUMNS}) VALUES {_ROW}"
# What a single row can be at fault for; anything else is the database's.
_BAD_ROW: Final = (apsw.ConstraintError, apsw.TooBigError, UnicodeError, OverflowError)
_FIND_MESSAGE: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND id_hash = ? AND message_id = ?"
)
_CREATE_CONVERSATION: Final = """
INSERT OR IGNORE INTO conversations (id, user_id, ai, epoch, created_at) VALUES (?, ?, ?, ?, ?)"""
FIND_CONVERSATION: Final = """
SELECT key, id, user_id, ai, epoch, (SELECT coalesce(max(seq), 0) FROM messages WHERE conversation = key)
FROM conversations WHERE id = ?"""
_NEWEST_SEQ: Final = """
SELECT (SELECT max(seq) FROM messages WHERE conversation = key) FROM conversations WHERE key = ?"""
_ADVANCE: Final = """
INSERT INTO positions (conversation, position, seq) SELECT key, ?, ? FROM conversations WHERE key = ?
ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq"""
_DELETE: Final = (
    "DELETE FROM messages WHERE conversation = ?",
    "DELETE FROM positions WHERE conversation = ?",
    "DELETE FROM conversations WHERE key = ?",
)
_LOCKED_PAUSE: Final = 0.005  # seconds between tries while another process holds the write lock
_KNOWN_SEQS: Final = 65536  # conversations whose newest seq is remembered
_IN_DOUBT_SECONDS: Final = 30.0  # how long the outcome of a failed COMMIT is looked for
_IN_DOUBT_PAUSE: Final = 0.1
# The errors of a COMMIT that did not get as far as its last frame in the log.
_CUT_SHORT: Final = (apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE)
_OVERWRITE: Final = "PRAGMA user_version = 0"  # a transaction that changes nothing

Row = tuple[Any, ...]
_SEQ: Final = itemgetter(1)  # of a row
_UNSAVED: Final = Outcome.refused(STORE_UNAVAILABLE)
_UNKNOWN: Final = Outcome.refused(OUTCOME_UNKNOWN)
_GONE: Final = Outcome.refused(CONVERSATION_GONE)
_CANNOT_BE_STORED: Final = Outcome.refused(CANNOT_BE_STORED)


class NotAtOnce(Exception):
    """A save is out of the ordinary and may take its time: `finish` is the rest, not for the event loop."""

    def __init__(self, finish: Callable[[], list[Outcome]]) -> None:
        super().__init__()
        self.finish = finish


class _NoConversation(Exception):
    """The conversation was deleted while a message for it was on its way."""


@cache
def _insert_sql(rows: int) -> str:
    """OR ROLLBACK, because a statement of several rows that must be able to undo itself alone copies every
    page that it touches: half as much again per row.
    """
    return f"INSERT OR ROLLBACK INTO messages ({_COLUMNS}) VALUES {','.join([_ROW] * rows)}"


class SqliteWriter:
    """Owns the write connection and the newest seq of conversations. Used by one thread alone."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._db = connect()
        self._cursor = self._db.cursor()  # of what every commit does: the connection would make one each time
        self._last_seqs: dict[int, int] = {}
        self._fault = ""  # what the database said since it last saved

    def close(self) -> None:
        self._db.close()

    def mark(self, path: Path) -> Mark:
        """Where the database stands now. Raises apsw.Error, OSError."""
        return mark_of(self._db, path)

    def save(self, batch: Batch[Draft]) -> list[Outcome]:
        """See MessageStore.save."""
        try:
            drafts = self._claim(batch)
        except apsw.Error as fault:
            self._tell(fault)
            return [_UNSAVED for _ in batch.claim()]
        try:
            return self._save(drafts) if drafts else []
        except NotAtOnce as rest:
            return rest.finish()

    def save_at_once(self, batch: Batch[Draft]) -> list[Outcome]:
        """Does the same without waiting. Raises NotAtOnce where something is in the way."""
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except apsw.Error:
            raise NotAtOnce(partial(self.save, batch)) from None
        return self._save(batch.claim())

    def checkpoint(self) -> None:
        """Copies the log back into the database. Fails when it is busy: the next one has it all."""
        with contextlib.suppress(apsw.Error):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _save(self, drafts: list[Draft]) -> list[Outcome]:
        """Does the common case: all are new and the database does as it is told. Raises NotAtOnce."""
        try:
            rows = list(map(self._row, drafts))
            self._insert(rows)
        except Exception:
            self._undo(drafts)
            raise NotAtOnce(partial(self._save_one_by_one, drafts)) from None
        return self._commit(drafts, all_saved(map(_SEQ, rows)))

    def create_conversations(self, batch: Batch[NewConversation]) -> list[Conversation]:
        """See MessageStore.create_conversations."""
        with self._whole_or_unavailable():
            return [self._create_conversation(new) for new in self._claim(batch)]

    def advance(self, batch: Batch[Advance]) -> list[bool]:
        """See MessageStore.advance."""
        with self._whole_or_unavailable():
            return [self._advance(advance) for advance in self._claim(batch)]

    def delete_conversations(self, conversation_ids: list[str]) -> None:
        """See MessageStore.delete_conversations."""
        with self._whole_or_unavailable():
            self._begin_again()
            for conversation_id in conversation_ids:
                self._delete(conversation_id)

    @contextlib.contextmanager
    def _whole_or_unavailable(self) -> Iterator[None]:
        """Commits what was begun within, if anything was; or all is undone."""
        try:
            yield
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except apsw.Error as fault:
            raise StoreUnavailable(str(fault)) from fault
        finally:
            self._roll_back()

    def _advance(self, advance: Advance) -> bool:
        self._db.execute(_ADVANCE, (advance.position.value, advance.seq, advance.conversation_key))
        return self._db.changes() > 0

    def _delete(self, conversation_id: str) -> None:
        if (row := self._db.execute(FIND_CONVERSATION, (conversation_id,)).fetchone()) is None:
            return
        key = row[0]
        for statement in _DELETE:
            self._db.execute(statement, (key,))
        self._last_seqs.pop(key, None)

    def _claim(self, batch: Batch[T]) -> list[T]:
        """Opens a transaction and claims the batch; no transaction when nothing is left to claim.

        The waiting is ours, since SQLite's own busy timeout cannot be interrupted; it ends when the
        whole batch is withdrawn.
        """
        while batch.items:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
            except apsw.Error as fault:
                if not _is_locked(fault):
                    self._reconnect()
                    raise
                self._tell(fault)
                time.sleep(_LOCKED_PAUSE)
                continue
            if items := batch.claim():
                return items
            self._roll_back()
        return []

    def _insert(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), MAX_ROWS):
            some = rows[start : start + MAX_ROWS]
            self._cursor.execute(_insert_sql(len(some)), tuple(chain.from_iterable(some)))

    def _save_one_by_one(self, drafts: list[Draft]) -> list[Outcome]:
        """The slow way: each draft is looked up, and the bad ones harm no other."""
        try:
            self._begin_again()
            outcomes = [self._save_one(draft) for draft in drafts]
        except apsw.Error as fault:
            self._tell(fault)
            self._undo(drafts)
            return [_UNSAVED for _ in drafts]
        except Exception:
            self._undo(drafts)
            raise
        try:
            return self._commit(drafts, outcomes)
        except NotAtOnce as rest:
            return rest.finish()

    def _save_one(self, draft: Draft) -> Outcome:
        try:
            if stored := self._find(draft):
                return settle_resend(draft, stored)
            row = self._row(draft)
            self._db.execute(_INSERT_ONE, row)
        except _NoConversation:
            return _GONE
        except _BAD_ROW:
            self._forget([draft])
            return _CANNOT_BE_STORED
        return Outcome.saved(row[1])

    def _begin_again(self) -> None:
        """The batch is claimed already, so another process may hold us up only for a moment."""
        deadline = time.monotonic() + 1.0
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except apsw.Error as fault:
                if not _is_locked(fault) or time.monotonic() > deadline:
                    raise
            time.sleep(_LOCKED_PAUSE)

    def _commit(self, drafts: list[Draft], outcomes: list[Outcome]) -> list[Outcome]:
        try:
            self._cursor.execute("COMMIT")
        except apsw.Error as fault:
            self._tell(fault)
            is_cut_short = getattr(fault, "extendedresult", 0) in _CUT_SHORT
            raise NotAtOnce(partial(self._look_up, drafts, outcomes, is_cut_short)) from None
        self._fault = ""
        return outcomes

    def _tell(self, fault: apsw.Error) -> None:
        """In the log, once for as long as it lasts: batches come hundreds of times a second."""
        if str(fault) != self._fault:
            self._fault = str(fault)
            log.warning("the database does not save", error=self._fault)

    def _look_up(self, drafts: list[Draft], outcomes: list[Outcome], is_cut_short: bool) -> list[Outcome]:
        """After an error at COMMIT: what is in the database decides, as a new connection sees it.

        What could not be synced is rolled back, but stands whole in the log: were the process killed now,
        the next start would find it committed. The next transaction overwrites it.
        """
        self._undo(drafts)
        deadline = time.monotonic() + _IN_DOUBT_SECONDS
        while time.monotonic() < deadline:
            self._reconnect()
            try:
                if not is_cut_short:
                    self._db.execute(_OVERWRITE)
                return [self._judge(*doubtful) for doubtful in zip(drafts, outcomes, strict=True)]
            except apsw.Error:
                time.sleep(_IN_DOUBT_PAUSE)
        return [_UNKNOWN for _ in drafts]

    def _judge(self, draft: Draft, outcome: Outcome) -> Outcome:
        """What an outcome is worth whose COMMIT failed. Also a duplicate may be one of a lost draft."""
        if outcome in (_CANNOT_BE_STORED, _GONE):
            return outcome
        return outcome if self._find(draft) else _UNSAVED

    def _row(self, draft: Draft) -> Row:
        key = draft.conversation_key
        seq = (self._last_seqs.get(key) or self._read_last_seq(key)) + 1
        self._last_seqs[key] = seq
        return (
            key,
            seq,
            draft.message_id,
            draft.type,
            draft.sender,
            draft.data,
            draft.created_at,
            draft.client_timestamp,
            draft.finish,
            hash_of(draft.message_id),
        )

    def _read_last_seq(self, key: int) -> int:
        if len(self._last_seqs) >= _KNOWN_SEQS:
            del self._last_seqs[next(iter(self._last_seqs))]
        if (row := self._db.execute(_NEWEST_SEQ, (key,)).fetchone()) is None:
            raise _NoConversation
        return row[0] or 0

    def _undo(self, drafts: list[Draft]) -> None:
        """Seqs that were given but not committed are not to be believed."""
        self._roll_back()
        self._forget(drafts)

    def _forget(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            self._last_seqs.pop(draft.conversation_key, None)

    def _find(self, draft: Draft) -> StoredMessage | None:
        return find_message(self._db, draft.conversation_key, draft.message_id)

    def _create_conversation(self, new: NewConversation) -> Conversation:
        values = (new.id, new.user_id, json.dumps(new.ai), new.epoch, new.created_at)
        self._db.execute(_CREATE_CONVERSATION, values)
        if self._db.changes():
            return Conversation(
                self._db.last_insert_rowid(), new.id, new.user_id, new.ai, new.epoch, last_seq=0
            )
        (row,) = self._db.execute(FIND_CONVERSATION, (new.id,))
        return conversation_of(row)

    def _roll_back(self) -> None:
        """Ends the transaction, if there is one."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error:
            self._reconnect()

    def _reconnect(self) -> None:
        """For a connection that failed. Where a new one cannot be had either, the next use tries again."""
        self._db.close(force=True)
        with contextlib.suppress(apsw.Error):
            self._db = self._connect()
            self._cursor = self._db.cursor()


def find_message(db: apsw.Connection, key: int, message_id: str) -> StoredMessage | None:
    """See MessageStore.find_message. Raises apsw.Error."""
    row = db.execute(_FIND_MESSAGE, (key, hash_of(message_id), message_id)).fetchone()
    return message_of(row) if row else None


def message_of(row: Row) -> StoredMessage:
    """A row of MESSAGE_COLUMNS."""
    seq, message_id, type, *rest = row
    return StoredMessage(seq, message_id, MessageType(type), *rest)


def conversation_of(row: Row) -> Conversation:
    """A row of FIND_CONVERSATION."""
    key, id, user_id, ai, epoch, last_seq = row
    return Conversation(key, id, user_id, json.loads(ai), epoch, last_seq)


def _is_locked(fault: apsw.Error) -> bool:
    """Whether another process is at it."""
    return isinstance(fault, apsw.BusyError | apsw.LockedError)
