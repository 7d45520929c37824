"""The one connection that writes: its transactions, and what becomes of it when one fails."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import apsw
import structlog

from server.ports import Batch, StoreUnavailable
from server.store.sqlite_file import SqliteFile

T = TypeVar("T")
log = structlog.get_logger()

_LOCKED_PAUSE: Final = 0.005  # seconds between tries while another process holds the write lock
_LOCKED_SECONDS: Final = 1.0  # how long what has been claimed waits for it


class WriteConnection:
    """Owns the connection, which is another one after a fault. Used by one thread at a time.

    `file` hears of faults, and is not written to when it is not in its place. `cursor` is for what every
    commit does: the connection would make one each time.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], file: SqliteFile) -> None:
        self._connect = connect
        self._file = file
        self._fault = ""  # what the database said since it last saved
        self.logged = 0  # pages that commits have added to the log since it was last begun anew
        self.on_logged: Callable[[], None] | None = None  # hears of every commit, in its thread
        self._use(connect())

    def close(self) -> None:
        self.db.close()

    def claim(self, batch: Batch[T]) -> list[T]:
        """Open a transaction and claim the batch; no transaction when nothing is left to claim.

        The waiting is ours, since SQLite's own busy timeout cannot be interrupted; it ends when the
        whole batch is withdrawn. Raises apsw.Error.
        """
        while batch.items:
            self._check_place()
            try:
                self.cursor.execute("BEGIN IMMEDIATE")
            except apsw.Error as fault:
                if not _is_locked(fault):
                    self.reconnect()
                    raise
                self.tell(fault)
                time.sleep(_LOCKED_PAUSE)
                continue
            if items := batch.claim():
                return items
            self.roll_back()
        return []

    def begin(self) -> None:
        """Open a transaction for what is claimed: another process holds it up only for a moment.

        Raises apsw.Error.
        """
        deadline = time.monotonic() + _LOCKED_SECONDS
        while True:
            self._check_place()
            try:
                self.cursor.execute("BEGIN IMMEDIATE")
                return
            except apsw.Error as fault:
                if not _is_locked(fault) or time.monotonic() > deadline:
                    raise
            time.sleep(_LOCKED_PAUSE)

    @contextlib.contextmanager
    def whole_or_unavailable(self) -> Iterator[None]:
        """Commit what was begun within, if anything was; or undo it all, and raise StoreUnavailable."""
        try:
            yield
            if self.db.in_transaction:
                self.commit()
        except apsw.Error as fault:
            self._file.note(fault)
            raise StoreUnavailable(str(fault)) from fault
        finally:
            self.roll_back()

    def commit(self) -> None:
        """Raise apsw.Error where it is open whether the transaction was saved."""
        self.cursor.execute("COMMIT")
        self._fault = ""
        # A hook of SQLite's would tell it too, but for each call the thread waits for the interpreter's lock.
        self.logged += self.db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, reset=True)[0]
        if self.on_logged is not None:
            self.on_logged()

    def tell(self, fault: apsw.Error) -> None:
        """Log a fault, once for as long as it lasts: batches come hundreds of times a second."""
        self._file.note(fault)
        if str(fault) != self._fault:
            self._fault = str(fault)
            log.warning("the database does not save", error=self._fault)

    def roll_back(self) -> None:
        """End the transaction, if there is one."""
        try:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        except apsw.Error:
            self.reconnect()

    def reconnect(self) -> None:
        """Replace a connection that failed. Where there is no new one either, the next use tries again."""
        self.db.close(force=True)
        with contextlib.suppress(apsw.Error):
            self._use(self._connect())
            self._file.watch()  # what stands under its name now may be another one

    def _use(self, db: apsw.Connection) -> None:
        self.db = db
        self.cursor = db.cursor()
        self.page_size = int(db.execute("PRAGMA page_size").get)

    def _check_place(self) -> None:
        """What goes into a file that has no name any more is lost."""
        if not self._file.is_in_place:
            raise apsw.CantOpenError("the database file was removed or replaced")


def _is_locked(fault: apsw.Error) -> bool:
    """Whether another process is at it."""
    return isinstance(fault, apsw.BusyError | apsw.LockedError)
