"""The one connection that writes: what happens inside the writer thread."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from operator import itemgetter
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
    Position,
    StoredMessage,
    all_saved,
    settle_resend,
)
from server.core.owed import OwedTurn
from server.ports import Batch, StoreUnavailable
from server.protocol import MessageType
from server.store.hashes import hash_of
from server.store.restoring import NEWEST_ID, Mark, mark_of
from server.store.sqlite_deletion import is_any_deleted, mark_deleted, remove_some
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_turns import (
    MESSAGE_COLUMNS,
    await_no_longer,
    bury,
    is_awaited,
    mark_undelivered,
    message_of,
    owe,
    settle,
    take,
)
from server.store.stale_bytes import MOST_PAGES, extent, frames, is_stale

T = TypeVar("T")
R = TypeVar("R")
log = structlog.get_logger()

_COLUMNS: Final = (
    "id, conversation, seq, message_id, type, sender, data, created_at, client_timestamp, finish, id_hash, "
    "ai_count"
)
_ROW: Final = "(?,?,?,?,?,?,?,?,?,?,?,?)"
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
SELECT key, id, user_id, ai, epoch,
    max(last_seq, (SELECT coalesce(max(seq), 0) FROM messages WHERE conversation = key))
FROM conversations WHERE id = ?"""
_READ_HEAD: Final = """
SELECT max(c.last_seq, coalesce(m.seq, 0)), coalesce(m.ai_count, 0), coalesce(p.seq, 0),
    EXISTS (SELECT 1 FROM turns WHERE conversation = c.key)
FROM conversations c
LEFT JOIN messages m ON m.conversation = c.key
    AND m.seq = (SELECT max(seq) FROM messages WHERE conversation = c.key)
LEFT JOIN positions p ON p.conversation = c.key AND p.position = 'answered'
WHERE c.key = ?"""
_ADVANCE: Final = """
INSERT INTO positions (conversation, position, seq) SELECT key, ?, ? FROM conversations WHERE key = ?
ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq"""
_LOCKED_PAUSE: Final = 0.005  # seconds between tries while another process holds the write lock
_KNOWN_HEADS: Final = 65536  # conversations whose head is remembered
_IN_DOUBT_SECONDS: Final = 30.0  # how long the outcome of a failed COMMIT is looked for
_IN_DOUBT_PAUSE: Final = 0.1
# The errors of a COMMIT that did not get as far as its last frame in the log.
_CUT_SHORT: Final = (apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE)
_OVERWRITE: Final = "PRAGMA user_version = 0"  # a transaction that changes nothing

Row = tuple[Any, ...]
_SEQ: Final = itemgetter(2)  # of a row
_UNSAVED: Final = Outcome.refused(STORE_UNAVAILABLE)
_UNKNOWN: Final = Outcome.refused(OUTCOME_UNKNOWN)
_AI: Final = MessageType.AI_RESPONSE
_ANSWERED_BEFORE: Final = Outcome.duplicate(0)
_GONE: Final = Outcome.refused(CONVERSATION_GONE)
_CANNOT_BE_STORED: Final = Outcome.refused(CANNOT_BE_STORED)


class _NoConversation(Exception):
    """The conversation was deleted while a message for it was on its way."""


class _AnsweredBefore(Exception):
    """The turn that a draft answers has been answered."""


class _Head:
    """What is known of a conversation's end: as it is committed, or will be by this transaction."""

    __slots__ = ("ai_count", "answered", "is_owing", "seq")

    def __init__(self, seq: int, ai_count: int, answered: int, is_owing: bool) -> None:
        self.seq = seq
        self.ai_count = ai_count  # AI messages up to there
        self.answered = answered  # the position
        self.is_owing = is_owing  # it may have a row in `turns`; without one it has none for sure


@cache
def _insert_sql(rows: int) -> str:
    """OR ROLLBACK, because a statement of several rows that must be able to undo itself alone copies every
    page that it touches: half as much again per row.
    """
    return f"INSERT OR ROLLBACK INTO messages ({_COLUMNS}) VALUES {','.join([_ROW] * rows)}"


class SqliteWriter:
    """Owns the write connection and the heads of conversations. Used by one thread at a time.

    `owes_answers`: a responder is switched on, see TurnStore. `file` hears of faults, and is not written
    to when it is not in its place.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], file: SqliteFile, owes_answers: bool) -> None:
        self._connect = connect
        self._file = file
        self._owes_answers = owes_answers
        self.logged = 0  # pages in the log, those that are copied back already among them
        self.on_logged: Callable[[], None] | None = None  # hears of every commit, in its thread
        self._stale: set[int] = set()  # pages with copies of rows that may be deleted by now
        self._newest_id = 0  # the highest that a message was given; 0 when that has to be looked up
        self._use(connect())
        self._heads: dict[int, _Head] = {}
        self._duties: list[tuple[Draft, int]] = []  # rows of this transaction that more is to be done for
        self._fault = ""  # what the database said since it last saved

    def close(self) -> None:
        self._db.close()

    def mark(self) -> Mark:
        """Tell where the database stands now. Raises apsw.Error."""
        return mark_of(self._db)

    def save(self, batch: Batch[Draft]) -> list[Outcome]:
        """See MessageStore.save."""
        try:
            drafts = self._claim(batch)
        except apsw.Error as fault:
            self._tell(fault)
            return [_UNSAVED for _ in batch.claim()]
        return self._save(drafts) if drafts else []

    def checkpoint(self) -> None:
        """Copy the log back into the database, as far as nobody reads what it would write over."""
        with contextlib.suppress(apsw.Error):
            _, in_log, copied = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").get
            if in_log == copied:
                self.logged = 0  # the next commit begins the log anew

    def empty_log(self) -> bool:
        """Copy all of the log back, cut it to no length, and zero what is stale in the pages it had.

        False when another process is in the way.
        """
        try:
            if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]:
                return False
            self.logged = 0
            return not self._stale or self._zero_stale()
        except (apsw.Error, OSError):
            return False

    def _zero_stale(self) -> bool:
        """While nobody else can write. Pages in our cache would bring back what is stale: it is dropped."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._db.execute("PRAGMA page_count").get < MOST_PAGES:
                self._file.zero_unallocated(self._stale, self._page_size)
            self._stale.clear()
        finally:
            self._reconnect()  # which ends the transaction
        return True

    def remove_some(self, rows: int) -> bool | None:
        """Remove rows of deleted conversations; whether those were all of one, None when there are none.

        Without a sync: should it be lost by a loss of power, it is done again. Raises StoreUnavailable.
        """
        with self._whole_or_unavailable():
            if not is_any_deleted(self._db):
                return None
            synchronous = self._db.execute("PRAGMA synchronous").get
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                self._check_place()
                self._cursor.execute("BEGIN IMMEDIATE")
                is_whole, before = remove_some(self._db, rows), self.logged
                self._db.execute("COMMIT")
                self._note_stale(before if before < self.logged else 0)
                return is_whole
            finally:
                self._roll_back()
                self._db.execute(f"PRAGMA synchronous = {synchronous}")

    def _note_stale(self, first: int) -> None:
        """Look through the pages that were logged since that frame."""
        with contextlib.suppress(OSError):
            part = self._file.read_log(*extent(first, self.logged, self._page_size))
            for number, page in frames(part, self._page_size):
                if is_stale(page, number):
                    self._stale.add(number)
                else:
                    self._stale.discard(number)

    def _save(self, drafts: list[Draft]) -> list[Outcome]:
        """Does the common case: all are new and the database does as it is told."""
        try:
            rows = list(map(self._row, drafts))
            self._insert(rows)
            if self._duties:
                self._do_duties()
        except Exception:
            self._undo(drafts)
            return self._save_one_by_one(drafts)
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
            self._file.note(fault)
            raise StoreUnavailable(str(fault)) from fault
        finally:
            self._roll_back()

    def change(self, do: Callable[[apsw.Connection], R]) -> R:
        """Does in a transaction what is no matter of messages. Raises StoreUnavailable."""
        with self._whole_or_unavailable():
            self._begin_again()
            return do(self._db)

    def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        """See TurnStore.give_up."""
        last = turn.last_seq
        assert last is not None  # a turn that was tried
        return self.change(
            lambda db: (
                bury(db, turn, failed_at) and self._move(turn.conversation_key, Position.ANSWERED, last)
            )
        )

    def take(self, key: int, seq: int, until: int) -> bool:
        """See TurnStore.take."""

        def do(db: apsw.Connection) -> bool:
            is_awaited = await_no_longer(db, key, seq)
            is_taken = self._move(key, Position.ANSWERED, seq) or is_awaited
            if is_taken:
                take(db, key, seq, until)
            return is_taken

        return self.change(do)

    def _advance(self, advance: Advance) -> bool:
        return self._move(advance.conversation_key, advance.position, advance.seq)

    def _move(self, key: int, position: Position, seq: int) -> bool:
        """Moves a position forward, with what that ends; whether it moved."""
        self._db.execute(_ADVANCE, (position.value, seq, key))
        if not self._db.changes():
            return False
        if position is Position.ANSWERED:
            self._heads.pop(key, None)  # should this transaction fail, what it tells would be wrong
            settle(self._db, key, seq)
        return True

    def _do_duties(self) -> None:
        """Does what belongs to the commit of those rows, now that they are in."""
        duties, self._duties = self._duties, []
        for draft, seq in duties:
            key = draft.conversation_key
            if draft.type is not _AI:
                owe(self._db, key, seq, draft.created_at)
            if draft.undelivered:
                mark_undelivered(self._db, key, seq)
            if draft.answers is not None:
                self._count_as_answered(key, draft.answers)

    def _count_as_answered(self, key: int, seq: int) -> None:
        """Raises _AnsweredBefore where this transaction has answered the turn already."""
        if not (self._move(key, Position.ANSWERED, seq) or await_no_longer(self._db, key, seq)):
            raise _AnsweredBefore

    def _delete(self, conversation_id: str) -> None:
        if (key := mark_deleted(self._db, conversation_id)) is not None:
            self._heads.pop(key, None)

    def _claim(self, batch: Batch[T]) -> list[T]:
        """Opens a transaction and claims the batch; no transaction when nothing is left to claim.

        The waiting is ours, since SQLite's own busy timeout cannot be interrupted; it ends when the
        whole batch is withdrawn.
        """
        while batch.items:
            self._check_place()
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
        return self._commit(drafts, outcomes)

    def _save_one(self, draft: Draft) -> Outcome:
        try:
            if stored := self._find(draft):
                return self._settle_resend(draft, stored)
            row = self._row(draft)
            self._db.execute(_INSERT_ONE, row)
            self._do_duties()
        except _NoConversation:
            return _GONE
        except _AnsweredBefore:
            return _ANSWERED_BEFORE
        except _BAD_ROW:
            self._forget([draft])
            self._duties.clear()
            return _CANNOT_BE_STORED
        return Outcome.saved(_SEQ(row))

    def _settle_resend(self, draft: Draft, stored: StoredMessage) -> Outcome:
        """Judges it; an answer that is stored has answered its turn, whoever saved it."""
        outcome = settle_resend(draft, stored)
        if draft.answers is not None and outcome.refusal is None:
            self._move(draft.conversation_key, Position.ANSWERED, draft.answers)
        return outcome

    def _begin_again(self) -> None:
        """The batch is claimed already, so another process may hold us up only for a moment."""
        deadline = time.monotonic() + 1.0
        while True:
            self._check_place()
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
                return
            except apsw.Error as fault:
                if not _is_locked(fault) or time.monotonic() > deadline:
                    raise
            time.sleep(_LOCKED_PAUSE)

    def _check_place(self) -> None:
        """What goes into a file that has no name any more is lost."""
        if not self._file.is_in_place:
            raise apsw.CantOpenError("the database file was removed or replaced")

    def _commit(self, drafts: list[Draft], outcomes: list[Outcome]) -> list[Outcome]:
        try:
            self._cursor.execute("COMMIT")
        except apsw.Error as fault:
            self._tell(fault)
            is_cut_short = getattr(fault, "extendedresult", 0) in _CUT_SHORT
            return self._look_up(drafts, outcomes, is_cut_short)
        self._fault = ""
        return outcomes

    def _tell(self, fault: apsw.Error) -> None:
        """In the log, once for as long as it lasts: batches come hundreds of times a second."""
        self._file.note(fault)
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
        head = self._heads.get(key) or self._read_head(key)
        seq = head.seq + 1
        if draft.type is _AI:
            self._begin_ai_message(draft, head, seq)
        elif self._owes_answers and not head.is_owing:
            head.is_owing = True
            self._duties.append((draft, seq))
        head.seq = seq
        self._newest_id = id = (self._newest_id or self._read_newest_id()) + 1
        return (
            id,
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
            head.ai_count,
        )

    def _begin_ai_message(self, draft: Draft, head: _Head, seq: int) -> None:
        if draft.answers is not None:
            if draft.answers > head.answered:
                head.answered = draft.answers
            elif not is_awaited(self._db, draft.conversation_key, draft.answers):
                raise _AnsweredBefore
        if draft.answers is not None or draft.undelivered:
            self._duties.append((draft, seq))
        head.ai_count += 1

    def _read_head(self, key: int) -> _Head:
        if len(self._heads) >= _KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]
        if (row := self._db.execute(_READ_HEAD, (key,)).fetchone()) is None:
            raise _NoConversation
        head = self._heads[key] = _Head(*row)
        return head

    def _read_newest_id(self) -> int:
        return int(self._db.execute(NEWEST_ID).get)

    def _undo(self, drafts: list[Draft]) -> None:
        """Seqs that were given but not committed are not to be believed."""
        self._duties.clear()
        self._newest_id = 0
        self._roll_back()
        self._forget(drafts)

    def _forget(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            self._heads.pop(draft.conversation_key, None)

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
            self._use(self._connect())
            self._file.watch()  # what stands under its name now may be another one

    def _use(self, db: apsw.Connection) -> None:
        self._db = db
        self._cursor = db.cursor()  # of what every commit does: the connection would make one each time
        db.set_wal_hook(self._note_logged)
        self._page_size = int(db.execute("PRAGMA page_size").get)

    def _note_logged(self, db: apsw.Connection, name: str, pages: int) -> int:
        """Called by SQLite after each commit."""
        self.logged = pages
        if self.on_logged is not None:
            self.on_logged()
        return apsw.SQLITE_OK


def find_message(db: apsw.Connection, key: int, message_id: str) -> StoredMessage | None:
    """See MessageStore.find_message. Raises apsw.Error."""
    row = db.execute(_FIND_MESSAGE, (key, hash_of(message_id), message_id)).fetchone()
    return message_of(row) if row else None


def conversation_of(row: Row) -> Conversation:
    """A row of FIND_CONVERSATION."""
    key, id, user_id, ai, epoch, last_seq = row
    return Conversation(key, id, user_id, json.loads(ai), epoch, last_seq)


def _is_locked(fault: apsw.Error) -> bool:
    """Whether another process is at it."""
    return isinstance(fault, apsw.BusyError | apsw.LockedError)
