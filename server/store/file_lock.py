"""One process at a time owns a SQLite file: a lock on a file beside it, which ends with the process.

The same file keeps a mark of how far the database had come, see `restoring`.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from server.store.restoring import Mark

_MAX_BYTES: Final = 128


class DatabaseInUse(Exception):
    """Another process owns the database; `pid` is its process id, None when it is not known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is in use by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


class FileLock:
    """Held from `acquire` to `release`. A second connection that writes could corrupt a WAL file.

    The file holds `pid inode newest`, in columns of fixed width so that no write is ever half seen
    as a smaller number.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._fd = -1
        self.mark: Mark | None = None  # what the last owner left; None when nothing or nonsense

    def acquire(self) -> None:
        """Raises DatabaseInUse; OSError where the folder cannot be written."""
        real = self._database.resolve()  # two names of one database have one lock
        fd = os.open(f"{real}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        found = os.pread(fd, _MAX_BYTES, 0).split()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise DatabaseInUse(self._database, int(found[0]) if _are_numbers(found[:1]) else None) from None
        self._fd = fd
        self.mark = Mark(int(found[1]), int(found[2])) if _are_numbers(found) and len(found) == 3 else None
        self._write(self.mark)

    def write_mark(self, mark: Mark) -> None:
        """To be called only with what is committed: a database behind its mark counts as restored."""
        self.mark = mark
        self._write(mark)

    def release(self) -> None:
        """Lets the next process in. The file stays: removing it would let two processes lock two files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, mark: Mark | None) -> None:
        inode, newest = mark or ("-", "-")
        os.pwrite(self._fd, f"{os.getpid():<11}{inode:<21}{newest:<21}\n".encode(), 0)


def _are_numbers(words: list[bytes]) -> bool:
    return bool(words) and all(word.isdigit() for word in words)
