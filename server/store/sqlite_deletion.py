"""Deletes conversations in two acts: one small commit by which they are gone, then their rows by steps.

A conversation's key is never given again, so that its rows can be reached by nobody once the key is not among
the conversations any more; how many there are makes no difference to the first act.
"""

from typing import Final

import apsw

# All but what grows with a conversation's length.
_GONE: Final = (
    "DELETE FROM positions WHERE conversation = ?",
    "DELETE FROM turns WHERE conversation = ?",
    "DELETE FROM dead_letters WHERE conversation = ?",
    "DELETE FROM taken WHERE conversation = ?",
    "DELETE FROM pauses WHERE conversation = ?",
    "DELETE FROM conversations WHERE key = ?",
    "INSERT INTO deleted (conversation) VALUES (?)",
)
_FIND: Final = "SELECT key FROM conversations WHERE id = ?"
# An id that is given twice would make a restored backup look like this database.
_KEEP_NEWEST: Final = "UPDATE log SET newest = max(newest, (SELECT coalesce(max(id), 0) FROM messages))"
_NEXT: Final = "SELECT min(conversation) FROM deleted"
_REMOVE: Final = (
    """DELETE FROM messages WHERE id IN
    (SELECT id FROM messages WHERE conversation = ? ORDER BY seq LIMIT ?)""",
    """DELETE FROM undelivered WHERE (conversation, seq) IN
    (SELECT conversation, seq FROM undelivered WHERE conversation = ? ORDER BY seq LIMIT ?)""",
)
_REMOVED: Final = "DELETE FROM deleted WHERE conversation = ?"


def mark_deleted(db: apsw.Connection, conversation_id: str) -> int | None:
    """Make a conversation unknown, within a transaction; its key, or None where it was unknown before."""
    key: int | None = db.execute(_FIND, (conversation_id,)).get
    if key is not None:
        db.execute(_KEEP_NEWEST)
        for statement in _GONE:
            db.execute(statement, (key,))
    return key


def is_any_deleted(db: apsw.Connection) -> bool:
    """Tell whether there is something to remove."""
    return db.execute(_NEXT).get is not None


def remove_some(db: apsw.Connection, rows: int) -> bool:
    """Remove so many rows of a deleted conversation, within a transaction; whether it was all that it had."""
    key = db.execute(_NEXT).get
    for statement in _REMOVE:
        db.execute(statement, (key, rows))
        if db.changes() == rows:
            return False
    db.execute(_REMOVED, (key,))
    return True
