"""Saves messages: a batch to a transaction, and what each is told when that fails."""

import time
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Final

import apsw

from server.core.model import (
    CANNOT_BE_STORED,
    CONVERSATION_GONE,
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Draft,
    Outcome,
    Position,
    StoredMessage,
    all_saved,
    settle_resend,
)
from server.ports import Batch
from server.protocol import MessageType
from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_heads import ROW_COLUMNS, AnsweredBefore, Heads, NoConversation
from server.store.sqlite_rows import Row, find_message
from server.store.sqlite_turns import await_no_longer, mark_undelivered, owe

_ROW: Final = "(?,?,?,?,?,?,?,?,?,?,?)"
# A batch goes in by one statement, up to this many rows: the thread takes the interpreter's lock once a
# statement, and under load waits for it each time. SQLite allows 32766 values in one.
MAX_ROWS: Final = 128
_INSERT_ONE: Final = f"INSERT INTO messages ({ROW_COLUMNS}) VALUES {_ROW}"
# An id that is given makes a row a fifth dearer.
_INSERT_WITH_ID: Final = f"INSERT INTO messages (id, {ROW_COLUMNS}) VALUES (?,{_ROW.strip('()')})"
# What a single row can be at fault for; anything else is the database's.
_BAD_ROW: Final = (apsw.ConstraintError, apsw.TooBigError, UnicodeError, OverflowError)
_IN_DOUBT_SECONDS: Final = 30.0  # how long the outcome of a failed COMMIT is looked for
_IN_DOUBT_PAUSE: Final = 0.1
# The errors of a COMMIT that did not get as far as its last frame in the log.
_CUT_SHORT: Final = (apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE)
_OVERWRITE: Final = "PRAGMA user_version = 0"  # a transaction that changes nothing

_SEQ: Final = itemgetter(1)  # of a row
_UNSAVED: Final = Outcome.refused(STORE_UNAVAILABLE)
_UNKNOWN: Final = Outcome.refused(OUTCOME_UNKNOWN)
_ANSWERED_BEFORE: Final = Outcome.duplicate(0)
_GONE: Final = Outcome.refused(CONVERSATION_GONE)
_CANNOT_BE_STORED: Final = Outcome.refused(CANNOT_BE_STORED)


@cache
def _insert_sql(rows: int) -> str:
    """OR ROLLBACK, because a statement of several rows that must be able to undo itself alone copies every
    page that it touches: half as much again per row.
    """
    return f"INSERT OR ROLLBACK INTO messages ({ROW_COLUMNS}) VALUES {','.join([_ROW] * rows)}"


class Saving:
    """Works in the writer's thread."""

    def __init__(self, connection: WriteConnection, heads: Heads) -> None:
        self._connection = connection
        self._heads = heads

    def save(self, batch: Batch[Draft]) -> list[Outcome]:
        """See MessageStore.save."""
        try:
            drafts = self._connection.claim(batch)
        except apsw.Error as fault:
            self._connection.tell(fault)
            return [_UNSAVED for _ in batch.claim()]
        return self._save(drafts) if drafts else []

    def _save(self, drafts: list[Draft]) -> list[Outcome]:
        """Does the common case: all are new and the database does as it is told."""
        try:
            rows = list(map(self._heads.row, drafts))
            self._insert(rows)
            if self._heads.duties:
                self._do_duties()
        except Exception:
            self._undo(drafts)
            return self._save_one_by_one(drafts)
        return self._commit(drafts, all_saved(map(_SEQ, rows)))

    def _insert(self, rows: list[Row]) -> None:
        if (id := self._heads.id_for_next()) is not None:
            self._connection.cursor.execute(_INSERT_WITH_ID, (id, *rows[0]))
            rows = rows[1:]
        for start in range(0, len(rows), MAX_ROWS):
            some = rows[start : start + MAX_ROWS]
            self._connection.cursor.execute(_insert_sql(len(some)), tuple(chain.from_iterable(some)))

    def _do_duties(self) -> None:
        """Does what belongs to the commit of those rows, now that they are in."""
        db = self._connection.db
        duties, self._heads.duties = self._heads.duties, []
        for draft, seq in duties:
            key = draft.conversation_key
            if draft.type is not MessageType.AI_RESPONSE:
                owe(db, key, seq, draft.created_at)
            if draft.undelivered:
                mark_undelivered(db, key, seq)
            if draft.answers is not None:
                self._count_as_answered(key, draft.answers)

    def _count_as_answered(self, key: int, seq: int) -> None:
        """Raises AnsweredBefore where this transaction has answered the turn already."""
        has_moved = self._heads.move(key, Position.ANSWERED, seq)
        if not (has_moved or await_no_longer(self._connection.db, key, seq)):
            raise AnsweredBefore

    def _save_one_by_one(self, drafts: list[Draft]) -> list[Outcome]:
        """The slow way: each draft is looked up, and the bad ones harm no other."""
        try:
            self._connection.begin()
            outcomes = [self._save_one(draft) for draft in drafts]
        except apsw.Error as fault:
            self._connection.tell(fault)
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
            row = self._heads.row(draft)
            self._insert_one(row)
            self._do_duties()
        except NoConversation:
            return _GONE
        except AnsweredBefore:
            return _ANSWERED_BEFORE
        except _BAD_ROW:
            self._heads.undo([draft])
            return _CANNOT_BE_STORED
        return Outcome.saved(_SEQ(row))

    def _insert_one(self, row: Row) -> None:
        if (id := self._heads.id_for_next()) is None:
            self._connection.db.execute(_INSERT_ONE, row)
        else:
            self._connection.db.execute(_INSERT_WITH_ID, (id, *row))

    def _settle_resend(self, draft: Draft, stored: StoredMessage) -> Outcome:
        """Judges it; an answer that is stored has answered its turn, whoever saved it."""
        outcome = settle_resend(draft, stored)
        if draft.answers is not None and outcome.refusal is None:
            self._heads.move(draft.conversation_key, Position.ANSWERED, draft.answers)
        return outcome

    def _commit(self, drafts: list[Draft], outcomes: list[Outcome]) -> list[Outcome]:
        try:
            self._connection.commit()
        except apsw.Error as fault:
            self._connection.tell(fault)
            is_cut_short = getattr(fault, "extendedresult", 0) in _CUT_SHORT
            return self._look_up(drafts, outcomes, is_cut_short)
        return outcomes

    def _look_up(self, drafts: list[Draft], outcomes: list[Outcome], is_cut_short: bool) -> list[Outcome]:
        """After an error at COMMIT: what is in the database decides, as a new connection sees it.

        What could not be synced is rolled back, but stands whole in the log: were the process killed now,
        the next start would find it committed. The next transaction overwrites it.
        """
        self._undo(drafts)
        deadline = time.monotonic() + _IN_DOUBT_SECONDS
        while time.monotonic() < deadline:
            self._connection.reconnect()
            try:
                if not is_cut_short:
                    self._connection.db.execute(_OVERWRITE)
                return [self._judge(*doubtful) for doubtful in zip(drafts, outcomes, strict=True)]
            except apsw.Error:
                time.sleep(_IN_DOUBT_PAUSE)
        return [_UNKNOWN for _ in drafts]

    def _judge(self, draft: Draft, outcome: Outcome) -> Outcome:
        """What an outcome is worth whose COMMIT failed. Also a duplicate may be one of a lost draft."""
        if outcome in (_CANNOT_BE_STORED, _GONE):
            return outcome
        return outcome if self._find(draft) else _UNSAVED

    def _undo(self, drafts: list[Draft]) -> None:
        """Seqs that were given but not committed are not to be believed."""
        self._connection.roll_back()
        self._heads.undo(drafts)

    def _find(self, draft: Draft) -> StoredMessage | None:
        return find_message(self._connection.db, draft.conversation_key, draft.message_id)
