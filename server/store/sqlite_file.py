"""The database's file: made for its owner alone, watched, and told of when it is hurt."""

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import apsw
import structlog

from server.store.stale_bytes import unallocated

log = structlog.get_logger()

_READ_MS: Final = 5000  # for another process to let us read
_MOST_LINES: Final = 10
_TABLES: Final = ("conversations", "messages")
# ValueError: bytes that are no text, no type of message, no JSON.
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, ValueError)
_ON_DAMAGE: Final = "run `chatctl doctor --deep`, then restore a backup: docs/store.md"
_ON_ABSENCE: Final = "put the file back, or restart the server: until then nothing is saved"


def find_damage(path: Path) -> list[str]:
    """Read all of a database, which a server may be using; what is wrong with it, at most so many lines.

    Raises apsw.Error where it cannot be read at all.
    """
    with closing(apsw.Connection(str(path.absolute()), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_busy_timeout(_READ_MS)
        lines = db.execute(f"PRAGMA integrity_check({_MOST_LINES})")
        found = [line for (text,) in lines if text != "ok" for line in str(text).splitlines()][:_MOST_LINES]
        return found or [line for table in _TABLES for line in _find_no_text(db, table)]


def _find_no_text(db: apsw.Connection, table: str) -> list[str]:
    try:
        for _ in db.execute(f"SELECT * FROM {table}"):
            pass
    except UnicodeDecodeError:
        return [f"{table}: bytes that are no text"]
    return []


class SqliteFile:
    """What is wrong with the file, if anything; from whatever thread it is found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._fd = -1
        self._is_damaged = False
        self.is_in_place = True

    @property
    def is_sound(self) -> bool:
        return self.is_in_place and not self._is_damaged

    def create(self) -> None:
        """Make the file, for SQLite to open, where there is none.

        Nobody but the owner reads what people say, in a copied file neither. Raises OSError.
        """
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        real = self._path.resolve()
        for file in (real, Path(f"{real}-wal"), Path(f"{real}-shm")):
            with suppress(FileNotFoundError, PermissionError):  # PermissionError: it is another user's
                file.chmod(0o600)

    def opened(self) -> None:
        """Remember which file it is that is open now. Raises OSError."""
        self._identity = self._look()
        # Not before the last connection is closed: to close a file ends the locks that the process has on it.
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """To be called when no connection is open any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read_log(self, offset: int, length: int) -> bytes:
        """Read a part of the log. Raises OSError."""
        with Path(f"{self._path.resolve()}-wal").open("rb") as log_file:
            log_file.seek(offset)
            return log_file.read(length)

    def zero_unallocated(self, numbers: Iterable[int], page_size: int) -> None:
        """Overwrite what no cell of a page has, while the log is empty and nobody writes. Raises OSError."""
        for number in numbers:
            offset = (number - 1) * page_size
            page = os.pread(self._fd, page_size, offset)
            if len(page) == page_size:
                begin, end = unallocated(page, number)
                os.pwrite(self._fd, bytes(end - begin), offset + begin)
        os.fsync(self._fd)

    def watch(self) -> None:
        """Look whether the open file is still the one under its name; the log tells when that changes.

        What is saved in a file that was removed or replaced is gone with the process.
        """
        try:
            is_in_place = self._look() == self._identity
        except OSError:
            is_in_place = False
        if is_in_place == self.is_in_place:
            return
        self.is_in_place = is_in_place
        if is_in_place:
            log.info("the database file is in its place again", file=str(self._path))
        else:
            log.error(
                "the database file was removed or replaced", file=str(self._path), what_to_do=_ON_ABSENCE
            )

    def note(self, fault: Exception) -> None:
        """Hear of a fault: one that shows damage is an outage until the next start."""
        if isinstance(fault, _DAMAGE) and not self._is_damaged:
            self._is_damaged = True
            file = str(self._path)
            log.error("the database is damaged", file=file, error=str(fault), what_to_do=_ON_DAMAGE)

    def _look(self) -> tuple[int, int]:
        """The inode of an open file stays, also where inodes change from one mount to the next."""
        found = self._path.stat()
        return found.st_dev, found.st_ino
