"""What is owed, as PostgreSQL keeps it."""

from typing import Any, Final

from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered
from server.store.postgres.links import Links
from server.store.postgres.positions import await_no_longer, move_answered
from server.store.postgres.sql import LOCK_HEADS, MESSAGE_COLUMNS, message_of

_EVERYTHING: Final = 0  # stands in `pauses` for all conversations; no conversation has this key

_OWED: Final = """
SELECT t.conversation, c.id, t.first_seq, t.since, t.last_seq, t.attempts, t.next_at, t.last_error
FROM turns t JOIN conversations c ON c.key = t.conversation
WHERE t.conversation > $1 AND ($3::bigint IS NULL OR (t.since < $3 AND t.next_at < $3))
ORDER BY t.conversation LIMIT $2"""
_BACKLOG: Final = "SELECT count(*), min(since), (SELECT count(*) FROM dead_letters) FROM turns"
# One statement, since what is read belongs together.
_TURN: Final = f"""
WITH t AS (SELECT first_seq, last_seq FROM turns WHERE conversation = $1)
SELECT true AS is_of_turn, m.* FROM t, LATERAL (
    SELECT {MESSAGE_COLUMNS} FROM messages
    WHERE conversation = $1 AND seq >= t.first_seq AND (t.last_seq IS NULL OR seq <= t.last_seq)
        AND type = 'CHAT_MESSAGE' ORDER BY seq LIMIT $2
) m
UNION ALL
SELECT false, h.* FROM t, LATERAL (
    SELECT * FROM (
        (SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 AND seq > t.first_seq
            AND type = 'AI_RESPONSE' ORDER BY seq DESC LIMIT $3)
        UNION ALL
        (SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 AND seq < t.first_seq
            ORDER BY seq DESC LIMIT $3)
    ) others ORDER BY seq DESC LIMIT $3
) h"""
_NOTE_ATTEMPT: Final = """
UPDATE turns SET last_seq = $3, attempts = $4, next_at = $5, last_error = $6
WHERE conversation = $1 AND first_seq = $2 RETURNING 1"""
_BURY: Final = """
INSERT INTO dead_letters (conversation, first_seq, last_seq, attempts, last_error, failed_at)
SELECT conversation, first_seq, $3, $4, $5, $6 FROM turns WHERE conversation = $1 AND first_seq = $2
RETURNING 1"""
_TAKE: Final = "INSERT INTO taken (conversation, seq, until) VALUES ($1, $2, $3)"
_CANCEL_TAKEN: Final = """
DELETE FROM taken WHERE conversation = $1 AND until > $2 AND seq = coalesce($3, seq)
    AND NOT seq = ANY($4::bigint[]) RETURNING seq"""
_IS_ANSWERED: Final = """
SELECT EXISTS (SELECT 1 FROM positions WHERE conversation = $1 AND position = 'answered' AND seq >= $2)
    AND NOT EXISTS (SELECT 1 FROM taken WHERE conversation = $1 AND seq = $2)
    AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE conversation = $1 AND last_seq = $2)"""
_DEAD_LETTER: Final = """
SELECT d.id, d.conversation, c.id, d.first_seq, d.last_seq, d.attempts, d.last_error, d.failed_at
FROM dead_letters d JOIN conversations c ON c.key = d.conversation """
_DEAD_LETTERS: Final = _DEAD_LETTER + "ORDER BY d.id DESC LIMIT $1"
_REPLAYS: Final = _DEAD_LETTER + "WHERE d.is_due ORDER BY d.id LIMIT $1"
_REPLAY: Final = """
UPDATE dead_letters SET is_due = true WHERE failed_at >= $1
    AND ($2::text IS NULL OR conversation = (SELECT key FROM conversations WHERE id = $2)) RETURNING 1"""
_END_REPLAY: Final = """
UPDATE dead_letters SET is_due = false, attempts = $2, last_error = $3, failed_at = $4 WHERE id = $1"""
_DELETE_LETTERS: Final = """
DELETE FROM dead_letters WHERE conversation = (SELECT key FROM conversations WHERE id = $1) RETURNING 1"""
_DELETE_LETTER: Final = "DELETE FROM dead_letters WHERE id = $1"
_PAUSE: Final = "INSERT INTO pauses (conversation, since, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_RESUME: Final = "DELETE FROM pauses WHERE conversation = $1"
_PAUSED: Final = "SELECT since, reason FROM pauses WHERE conversation = $1"
_UNDELIVERED: Final = f"""
SELECT u.conversation, c.id, {", ".join(f"m.{name}" for name in MESSAGE_COLUMNS.split(", "))}
FROM undelivered u JOIN conversations c ON c.key = u.conversation
JOIN messages m ON m.conversation = u.conversation AND m.seq = u.seq
WHERE (u.conversation, u.seq) > ($1, $2) ORDER BY u.conversation, u.seq LIMIT $3"""
_TELL_NEWS: Final = """
DELETE FROM undelivered u USING unnest($1::bigint[], $2::bigint[]) AS n(conversation, seq)
WHERE u.conversation = n.conversation AND u.seq = n.seq"""


class OwedTables:
    """Implements TurnStore."""

    def __init__(self, readers: Links, writers: Links) -> None:
        self._readers = readers
        self._writers = writers

    async def owed(self, after: int, limit: int, before: int | None = None) -> list[OwedTurn]:
        return [OwedTurn(*row) for row in await self._readers.read(_OWED, after, limit, before)]

    async def backlog(self) -> Backlog:
        (row,) = await self._readers.read(_BACKLOG)
        return Backlog(*row)

    async def read_turn(self, key: int, limit: int, history: int) -> TurnMessages | None:
        rows = await self._readers.read(_TURN, key, limit, history)
        if not rows:
            return None
        found = sorted(((row[0], message_of(row[1:])) for row in rows), key=lambda pair: pair[1].seq)
        return TurnMessages(
            [message for is_of_turn, message in found if is_of_turn],
            [message for is_of_turn, message in found if not is_of_turn],
        )

    async def note_attempt(self, turn: OwedTurn) -> bool:
        values = (turn.last_seq, turn.attempts, turn.next_at, turn.last_error)
        return bool(await self._change(_NOTE_ATTEMPT, turn.conversation_key, turn.first_seq, *values))

    async def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        key, last = turn.conversation_key, turn.last_seq
        assert last is not None  # a turn that was tried
        async with self._writers.lent() as link, link.transaction() as connection:
            await connection.fetch(LOCK_HEADS, [key])
            values = (last, turn.attempts, turn.last_error, failed_at)
            if not await connection.fetch(_BURY, key, turn.first_seq, *values):
                return False
            await move_answered(connection, {key: last})
        return True

    async def take(self, key: int, seq: int, until: int) -> bool:
        async with self._writers.lent() as link, link.transaction() as connection:
            await connection.fetch(LOCK_HEADS, [key])
            is_awaited = bool(await await_no_longer(connection, [(key, seq)]))
            is_taken = bool(await move_answered(connection, {key: seq})) or is_awaited
            if is_taken:
                await connection.execute(_TAKE, key, seq, until)
            return is_taken

    async def cancel_taken(self, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
        async with self._writers.lent() as link, link.transaction() as connection:
            await connection.fetch(LOCK_HEADS, [key])
            return [row[0] for row in await connection.fetch(_CANCEL_TAKEN, key, now, seq, kept)]

    async def is_answered(self, key: int, seq: int) -> bool:
        ((is_answered,),) = await self._readers.read(_IS_ANSWERED, key, seq)
        return bool(is_answered)

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        return [DeadLetter(*row) for row in await self._readers.read(_DEAD_LETTERS, limit)]

    async def replay_dead_letters(self, conversation_id: str | None, since: int | None) -> int:
        return len(await self._change(_REPLAY, since or 0, conversation_id))

    async def replays(self, limit: int) -> list[DeadLetter]:
        return [DeadLetter(*row) for row in await self._readers.read(_REPLAYS, limit)]

    async def end_replay(self, letter: DeadLetter) -> None:
        await self._change(_END_REPLAY, letter.id, letter.attempts, letter.last_error, letter.failed_at)

    async def delete_dead_letters(self, conversation_id: str) -> int:
        return len(await self._change(_DELETE_LETTERS, conversation_id))

    async def delete_dead_letter(self, id: int) -> None:
        await self._change(_DELETE_LETTER, id)

    async def pause(self, pause: Pause) -> None:
        await self._change(_PAUSE, _EVERYTHING, *pause)

    async def resume(self) -> None:
        await self._change(_RESUME, _EVERYTHING)

    async def paused(self) -> Pause | None:
        rows = await self._readers.read(_PAUSED, _EVERYTHING)
        return Pause(*rows[0]) if rows else None

    async def undelivered(self, after: tuple[int, int], limit: int) -> list[Undelivered]:
        rows = await self._readers.read(_UNDELIVERED, *after, limit)
        return [Undelivered(row[0], row[1], message_of(row[2:])) for row in rows]

    async def news_told(self, messages: list[tuple[int, int]]) -> None:
        await self._change(_TELL_NEWS, [key for key, _ in messages], [seq for _, seq in messages])

    async def _change(self, sql: str, *values: Any) -> list[Any]:
        """Changes something by one statement, which may be made again; the rows that it returns."""
        async with self._writers.lent() as link:
            return await link.fetch(sql, *values)
