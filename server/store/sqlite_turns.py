"""What is owed, as SQLite keeps it: statements on a connection, within a transaction that is the caller's."""

import json
from typing import Any, Final

import apsw

from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered
from server.store.sqlite_rows import MESSAGE_COLUMNS, message_of

_BEYOND_EVERY_SEQ: Final = 1 << 62
_EVERYTHING: Final = 0  # stands in `pauses` for all conversations; no conversation has this key

_OWE: Final = "INSERT OR IGNORE INTO turns (conversation, first_seq, since) VALUES (?, ?, ?)"
_NEXT_CHAT: Final = """
SELECT seq, created_at FROM messages WHERE conversation = ? AND seq > ? AND type = 'CHAT_MESSAGE'
ORDER BY seq LIMIT 1"""
_NEXT_TURN: Final = """
UPDATE turns SET first_seq = ?, since = ?, last_seq = NULL, attempts = 0, next_at = 0, last_error = ''
WHERE conversation = ? AND first_seq < ?"""
_END_TURN: Final = "DELETE FROM turns WHERE conversation = ?"
_OWED: Final = """
SELECT t.conversation, c.id, t.first_seq, t.since, t.last_seq, t.attempts, t.next_at, t.last_error
FROM turns t JOIN conversations c ON c.key = t.conversation
WHERE t.conversation > ?1 AND (?3 IS NULL OR (t.since < ?3 AND t.next_at < ?3))
ORDER BY t.conversation LIMIT ?2"""
_BACKLOG: Final = "SELECT count(*), min(since), (SELECT count(*) FROM dead_letters) FROM turns"
_EXTENT: Final = "SELECT first_seq, coalesce(last_seq, ?) FROM turns WHERE conversation = ?"
_TURN_MESSAGES: Final = f"""
SELECT {MESSAGE_COLUMNS} FROM messages
WHERE conversation = ? AND seq BETWEEN ? AND ? AND type = 'CHAT_MESSAGE' ORDER BY seq LIMIT ?"""
_SAID_MEANWHILE: Final = f"""
SELECT {MESSAGE_COLUMNS} FROM messages
WHERE conversation = ? AND seq > ? AND type = 'AI_RESPONSE' ORDER BY seq DESC LIMIT ?"""
_SAID_BEFORE: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_NOTE_ATTEMPT: Final = """
UPDATE turns SET last_seq = ?, attempts = ?, next_at = ?, last_error = ?
WHERE conversation = ? AND first_seq = ?"""
_BURY: Final = """
INSERT INTO dead_letters (conversation, first_seq, last_seq, attempts, last_error, failed_at)
SELECT conversation, first_seq, ?, ?, ?, ? FROM turns WHERE conversation = ? AND first_seq = ?"""
_IS_AWAITED: Final = """
SELECT EXISTS (SELECT 1 FROM taken WHERE conversation = ? AND seq = ?)
    OR EXISTS (SELECT 1 FROM dead_letters WHERE conversation = ? AND last_seq = ?)"""
_AWAIT_NO_LONGER: Final = (
    "DELETE FROM taken WHERE conversation = ? AND seq = ?",
    "DELETE FROM dead_letters WHERE conversation = ? AND last_seq = ?",
)
_TAKE: Final = "INSERT INTO taken (conversation, seq, until) VALUES (?, ?, ?)"
_CANCEL_TAKEN: Final = """
DELETE FROM taken WHERE conversation = ? AND until > ? AND seq = coalesce(?, seq)
    AND seq NOT IN (SELECT value FROM json_each(?)) RETURNING seq"""
_IS_ANSWERED: Final = """
SELECT EXISTS (SELECT 1 FROM positions WHERE conversation = ? AND position = 'answered' AND seq >= ?)"""
_DEAD_LETTER: Final = """
SELECT d.id, d.conversation, c.id, d.first_seq, d.last_seq, d.attempts, d.last_error, d.failed_at
FROM dead_letters d JOIN conversations c ON c.key = d.conversation """
_DEAD_LETTERS: Final = _DEAD_LETTER + "ORDER BY d.id DESC LIMIT ?"
_REPLAYS: Final = _DEAD_LETTER + "WHERE d.is_due = 1 ORDER BY d.id LIMIT ?"
_REPLAY: Final = "UPDATE dead_letters SET is_due = 1 WHERE failed_at >= ?"
_REPLAY_OF: Final = _REPLAY + " AND conversation = (SELECT key FROM conversations WHERE id = ?)"
_END_REPLAY: Final = """
UPDATE dead_letters SET is_due = 0, attempts = ?, last_error = ?, failed_at = ? WHERE id = ?"""
_DELETE_LETTERS: Final = """
DELETE FROM dead_letters WHERE conversation = (SELECT key FROM conversations WHERE id = ?)"""
_DELETE_LETTER: Final = "DELETE FROM dead_letters WHERE id = ?"
_PAUSE: Final = "INSERT OR IGNORE INTO pauses (conversation, since, reason) VALUES (?, ?, ?)"
_RESUME: Final = "DELETE FROM pauses WHERE conversation = ?"
_PAUSED: Final = "SELECT since, reason FROM pauses WHERE conversation = ?"
_MARK_UNDELIVERED: Final = "INSERT OR IGNORE INTO undelivered (conversation, seq) VALUES (?, ?)"
_UNDELIVERED: Final = f"""
SELECT u.conversation, c.id, {", ".join(f"m.{name}" for name in MESSAGE_COLUMNS.split(", "))}
FROM undelivered u JOIN conversations c ON c.key = u.conversation
JOIN messages m ON m.conversation = u.conversation AND m.seq = u.seq
WHERE (u.conversation, u.seq) > (?, ?) ORDER BY u.conversation, u.seq LIMIT ?"""
_TELL_NEWS: Final = "DELETE FROM undelivered WHERE conversation = ? AND seq = ?"


def owe(db: apsw.Connection, key: int, seq: int, since: int) -> None:
    """Makes a conversation owe an answer from that message on, unless it owes one already."""
    db.execute(_OWE, (key, seq, since))


def settle(db: apsw.Connection, key: int, answered: int) -> bool:
    """Ends the turn up to seq `answered`; whether what is beyond it may owe an answer."""
    following = db.execute(_NEXT_CHAT, (key, answered)).fetchone()
    if following is None:
        db.execute(_END_TURN, (key,))
        return False
    db.execute(_NEXT_TURN, (*following, key, following[0]))
    return True


def owed(db: apsw.Connection, after: int, limit: int, before: int | None) -> list[OwedTurn]:
    """See TurnStore.owed, as with all below."""
    return [OwedTurn(*row) for row in db.execute(_OWED, (after, limit, before))]


def backlog(db: apsw.Connection) -> Backlog:
    ((turns, since, letters),) = db.execute(_BACKLOG)
    return Backlog(turns, since, letters)


def read_turn(db: apsw.Connection, key: int, limit: int, history: int) -> TurnMessages | None:
    with db:  # what is read belongs together
        if (extent := db.execute(_EXTENT, (_BEYOND_EVERY_SEQ, key)).fetchone()) is None:
            return None
        first, last = extent
        messages = db.execute(_TURN_MESSAGES, (key, first, last, limit)).fetchall()
        said = db.execute(_SAID_MEANWHILE, (key, first, history)).fetchall()
        said += db.execute(_SAID_BEFORE, (key, first, history - len(said))).fetchall()
    return TurnMessages(list(map(message_of, messages)), list(map(message_of, reversed(said))))


def note_attempt(db: apsw.Connection, turn: OwedTurn) -> bool:
    values = (turn.last_seq, turn.attempts, turn.next_at, turn.last_error)
    db.execute(_NOTE_ATTEMPT, (*values, turn.conversation_key, turn.first_seq))
    return db.changes() > 0


def bury(db: apsw.Connection, turn: OwedTurn, failed_at: int) -> bool:
    """Writes the dead letter of TurnStore.give_up; the caller advances the position."""
    values = (turn.last_seq, turn.attempts, turn.last_error, failed_at)
    db.execute(_BURY, (*values, turn.conversation_key, turn.first_seq))
    return db.changes() > 0


def is_awaited(db: apsw.Connection, key: int, seq: int) -> bool:
    """Tells whether the answer to a turn that counts as answered is still awaited."""
    return bool(db.execute(_IS_AWAITED, (key, seq, key, seq)).get)


def await_no_longer(db: apsw.Connection, key: int, seq: int) -> bool:
    """Ends that; whether it was awaited."""
    changes = 0
    for statement in _AWAIT_NO_LONGER:
        db.execute(statement, (key, seq))
        changes += db.changes()
    return changes > 0


def take(db: apsw.Connection, key: int, seq: int, until: int) -> None:
    """Writes that the answer is awaited; the caller advances the position."""
    db.execute(_TAKE, (key, seq, until))


def cancel_taken(db: apsw.Connection, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
    rows: list[Any] = db.execute(_CANCEL_TAKEN, (key, now, seq, json.dumps(kept))).fetchall()
    return [row[0] for row in rows]


def is_answered(db: apsw.Connection, key: int, seq: int) -> bool:
    with db:  # what is read belongs together
        counts = bool(db.execute(_IS_ANSWERED, (key, seq)).get)
        is_late = counts and is_awaited(db, key, seq)
    return counts and not is_late


def dead_letters(db: apsw.Connection, limit: int) -> list[DeadLetter]:
    return [DeadLetter(*row) for row in db.execute(_DEAD_LETTERS, (limit,))]


def replays(db: apsw.Connection, limit: int) -> list[DeadLetter]:
    return [DeadLetter(*row) for row in db.execute(_REPLAYS, (limit,))]


def replay_dead_letters(db: apsw.Connection, conversation_id: str | None, since: int | None) -> int:
    if conversation_id is None:
        db.execute(_REPLAY, (since or 0,))
    else:
        db.execute(_REPLAY_OF, (since or 0, conversation_id))
    return db.changes()


def end_replay(db: apsw.Connection, letter: DeadLetter) -> None:
    db.execute(_END_REPLAY, (letter.attempts, letter.last_error, letter.failed_at, letter.id))


def delete_dead_letters(db: apsw.Connection, conversation_id: str) -> int:
    db.execute(_DELETE_LETTERS, (conversation_id,))
    return db.changes()


def delete_dead_letter(db: apsw.Connection, id: int) -> None:
    db.execute(_DELETE_LETTER, (id,))


def pause(db: apsw.Connection, pause: Pause) -> None:
    db.execute(_PAUSE, (_EVERYTHING, *pause))


def resume(db: apsw.Connection) -> None:
    db.execute(_RESUME, (_EVERYTHING,))


def paused(db: apsw.Connection) -> Pause | None:
    row = db.execute(_PAUSED, (_EVERYTHING,)).fetchone()
    return None if row is None else Pause(*row)


def mark_undelivered(db: apsw.Connection, key: int, seq: int) -> None:
    """Marks a message in the commit that saves it."""
    db.execute(_MARK_UNDELIVERED, (key, seq))


def undelivered(db: apsw.Connection, after: tuple[int, int], limit: int) -> list[Undelivered]:
    rows = db.execute(_UNDELIVERED, (*after, limit))
    return [Undelivered(row[0], row[1], message_of(row[2:])) for row in rows]


def news_told(db: apsw.Connection, messages: list[tuple[int, int]]) -> None:
    db.executemany(_TELL_NEWS, messages)
