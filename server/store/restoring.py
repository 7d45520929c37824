"""A restored backup is known by the mark that is kept beside the database, and begins new epochs.

Devices have seen messages that are not in it, under seqs that it will give to others; a new epoch
tells them to read anew.
"""

from pathlib import Path
from typing import Final, NamedTuple

import apsw

_NEWEST: Final = "SELECT coalesce(max(id), 0) FROM messages"
_NEW_EPOCHS: Final = "UPDATE conversations SET epoch = lower(hex(randomblob(6)))"


class Mark(NamedTuple):
    """Where a database stood when it was last seen in its place."""

    inode: int  # of its file: another file was put there
    newest: int  # the highest id of a message, 0 when there is none


def mark_of(db: apsw.Connection, path: Path) -> Mark:
    """The mark of the database as it is now committed."""
    return Mark(path.stat().st_ino, int(db.execute(_NEWEST).get))


def is_restored(now: Mark, before: Mark | None) -> bool:
    """Whether this is another database than the one that left the mark, or one that lacks its end.

    Without a mark nothing is known, so any database with messages counts as restored.
    """
    if before is None or now.inode != before.inode:
        return now.newest > 0
    return now.newest < before.newest


def begin_new_epochs(db: apsw.Connection) -> int:
    """Of how many conversations."""
    db.execute(_NEW_EPOCHS)
    return db.changes()
