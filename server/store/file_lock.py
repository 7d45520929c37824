"""One process at a time owns a SQLite file: a lock on a file beside it, which ends with the process.

The same file keeps a mark of how far the database had come, see `restoring`.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from server.store.restoring import Mark

_MAX_BYTES: Final = 128
_COLUMNS, _EARLIER_COLUMNS = 4, 3
_NOTHING: Final = "-"


class DatabaseInUse(Exception):
    """Another process owns the database; `pid` is its process id, None when it is not known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is in use by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


class FileLock:
    """Held from `acquire` to `release`. A second connection that writes could corrupt a WAL file.

    The file holds `pid token newest promised`, in columns of fixed width so that no write is ever half seen
    as a smaller number; `-` stands for nothing.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = Path(f"{database.resolve()}.lock")  # two names of one database have one lock
        self._fd = -1
        self.mark: Mark | None = None  # what the last owner left; None when nothing or nonsense
        self.promised = ""  # the token that it was about to write into the database

    def acquire(self) -> None:
        """Raises DatabaseInUse; OSError where the folder cannot be written."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        found = os.pread(fd, _MAX_BYTES, 0).decode("ascii", "replace").split()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise DatabaseInUse(
                self._database, int(found[0]) if found and _is_number(found[0]) else None
            ) from None
        self._fd = fd
        self.mark, self.promised = _left(found)
        self._write()

    def promise(self, token: str) -> None:
        """Note the token that is about to be written into the database; it survives a loss of power."""
        self.promised = token
        self._write()
        self._sync()

    def keep_promise(self, mark: Mark) -> None:
        """Note that the promised token is in the database."""
        self.promised = ""
        self.write_mark(mark)
        self._sync()

    def write_mark(self, mark: Mark) -> None:
        """To be called only with what is committed: a database behind its mark counts as restored."""
        self.mark = mark
        self._write()

    def release(self) -> None:
        """Lets the next process in. The file stays: removing it would let two processes lock two files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self) -> None:
        token, newest = self.mark or (_NOTHING, _NOTHING)
        line = f"{os.getpid():<11}{token or _NOTHING:<17}{newest:<21}{self.promised or _NOTHING:<17}\n"
        os.pwrite(self._fd, line.encode(), 0)

    def _sync(self) -> None:
        """With the folder, where the file is new."""
        os.fsync(self._fd)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _left(found: list[str]) -> tuple[Mark | None, str]:
    """Return the mark and the promised token. Three numbers are what an earlier version left."""
    if len(found) == _EARLIER_COLUMNS and all(map(_is_number, found)):
        return Mark("", int(found[2])), ""
    if len(found) != _COLUMNS or not _is_number(found[0]):
        return None, ""
    promised = "" if found[3] == _NOTHING else found[3]
    if not _is_number(found[2]):
        return None, promised
    return Mark("" if found[1] == _NOTHING else found[1], int(found[2])), promised


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
