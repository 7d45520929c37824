"""Removes what was deleted, from the tables and from the files; keeps the log short."""

import contextlib

import apsw

from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_deletion import is_any_deleted, remove_some
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_heads import Heads
from server.store.stale_bytes import MOST_PAGES, extent, frames, is_stale


class SqliteRemoval:
    """Works in the writer's thread."""

    def __init__(self, connection: WriteConnection, heads: Heads, file: SqliteFile) -> None:
        self._connection = connection
        self._heads = heads
        self._file = file
        self._stale: set[int] = set()  # pages with copies of rows that may be deleted by now

    def remove_some(self, rows: int) -> bool | None:
        """Remove rows of deleted conversations; whether those were all of one, None when there are none.

        Without a sync: should it be lost by a loss of power, it is done again. Raises StoreUnavailable.
        """
        connection = self._connection
        with connection.whole_or_unavailable():
            db = connection.db
            if not is_any_deleted(db):
                return None
            synchronous = db.execute("PRAGMA synchronous").get
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                connection.begin()
                is_whole, before = remove_some(db, rows), connection.logged
                self._heads.forget_ids()
                end = self._commit()
                self._note_stale(max(0, end - (connection.logged - before)), end)
                return is_whole
            finally:
                connection.roll_back()
                db.execute(f"PRAGMA synchronous = {synchronous}")

    def _commit(self) -> int:
        """Commits; the number of the log's last page, as SQLite tells it to a hook."""
        end = 0

        def note_end(db: apsw.Connection, name: str, pages: int) -> int:
            nonlocal end
            end = pages
            return apsw.SQLITE_OK

        self._connection.db.set_wal_hook(note_end)
        try:
            self._connection.commit()
        finally:
            self._connection.db.set_wal_hook(None)
        return end

    def checkpoint(self) -> None:
        """Copy the log back into the database, as far as nobody reads what it would write over."""
        with contextlib.suppress(apsw.Error):
            _, in_log, copied = self._connection.db.execute("PRAGMA wal_checkpoint(PASSIVE)").get
            # Where all is copied, the next commit begins the log anew.
            self._connection.logged = 0 if in_log == copied else in_log

    def empty_log(self) -> bool:
        """Copy all of the log back, cut it to no length, and zero what is stale in the pages it had.

        False when another process is in the way.
        """
        try:
            if self._connection.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]:
                return False
            self._connection.logged = 0
            return not self._stale or self._zero_stale()
        except (apsw.Error, OSError):
            return False

    def _zero_stale(self) -> bool:
        """While nobody else can write. Pages in our cache would bring back what is stale: it is dropped."""
        db = self._connection.db
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("PRAGMA page_count").get < MOST_PAGES:
                self._file.zero_unallocated(self._stale, self._connection.page_size)
            self._stale.clear()
        finally:
            self._connection.reconnect()  # which ends the transaction
        return True

    def _note_stale(self, first: int, last: int) -> None:
        """Look through the log's pages from the one to the other."""
        page_size = self._connection.page_size
        with contextlib.suppress(OSError):
            part = self._file.read_log(*extent(first, last, page_size))
            for number, page in frames(part, page_size):
                if is_stale(page, number):
                    self._stale.add(number)
                else:
                    self._stale.discard(number)
