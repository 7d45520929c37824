"""Tells a restored backup by the mark that is kept beside the database; then new epochs begin.

Devices have seen messages that are not in it, under seqs that it will give to others; a new epoch
tells them to read anew. docs/store.md gives the reasoning.
"""

from typing import Final, NamedTuple

import apsw

# The highest id that a message ever had: `log.newest` is that of those which were removed.
NEWEST_ID: Final = "SELECT max(newest, (SELECT coalesce(max(id), 0) FROM messages)) FROM log"
_WHOSE: Final = "SELECT token FROM log"
_BEGIN: Final = "UPDATE log SET token = ?"
_NEW_EPOCHS: Final = "UPDATE conversations SET epoch = lower(hex(randomblob(6)))"


class Mark(NamedTuple):
    """Where a database stood when it was last seen in its place."""

    token: str  # drawn anew by each start; empty in a database of before there were any
    newest: int  # the highest id that a message ever had, 0 before the first: it never falls


def mark_of(db: apsw.Connection) -> Mark:
    """Read the mark of the database as it is now committed. Raises apsw.Error."""
    return Mark(str(db.execute(_WHOSE).get), int(db.execute(NEWEST_ID).get))


def is_restored(now: Mark, before: Mark | None, promised: str) -> bool:
    """Tell whether this is not what the last start left, or lacks its end.

    `promised`: the token that the last start was about to write. Without a mark nothing is known, so any
    database with messages counts as restored.
    """
    if promised and now.token == promised:
        return before is not None and now.newest < before.newest
    if before is None:
        return now.newest > 0
    return now.token != before.token or now.newest < before.newest


def begin_start(db: apsw.Connection, token: str, restored: bool) -> int:
    """Write this start's token; in a restored database also new epochs: of how many conversations."""
    count = 0
    db.execute("BEGIN IMMEDIATE")
    db.execute(_BEGIN, (token,))
    if restored:
        db.execute(_NEW_EPOCHS)
        count = db.changes()
    db.execute("COMMIT")
    return count
