"""One process at a time owns a SQLite file: a lock on a file beside it, which ends with the process."""

import fcntl
import os
from pathlib import Path


class DatabaseInUse(Exception):
    """Another process owns the database; `pid` is its process id, None when it is not known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is in use by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


class FileLock:
    """Held from `acquire` to `release`. A second connection that writes could corrupt a WAL file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._fd = -1

    def acquire(self) -> None:
        """Raises DatabaseInUse; OSError where the folder cannot be written."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 20)
            os.close(fd)
            raise DatabaseInUse(self._database, int(owner) if owner.isdigit() else None) from None
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd

    def release(self) -> None:
        """Lets the next process in. The file stays: removing it would let two processes lock two files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
