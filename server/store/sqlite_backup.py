"""Copies a SQLite database while a server writes to it."""

import os
from contextlib import closing
from pathlib import Path

import apsw


def back_up(source: Path, target: Path) -> None:
    """Writes the database as it is at one moment to a new file, which its owner alone may read.

    Raises FileExistsError, OSError, apsw.Error; then nothing is left of it.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(apsw.Connection(str(source.absolute()), flags=apsw.SQLITE_OPEN_READONLY)) as old,
            closing(apsw.Connection(str(target.absolute()), flags=apsw.SQLITE_OPEN_READWRITE)) as new,
        ):
            old.execute("SELECT 1 FROM sqlite_master")  # tells what is wrong with it; the copying does not
            with new.backup("main", old, "main") as backup:
                backup.step(-1)  # in one read: in steps it would begin anew whenever the server commits
    except BaseException:
        target.unlink()
        raise
