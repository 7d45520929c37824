"""Positions, and what ANSWERED moving forward ends; on a connection, within a transaction of the caller's."""

from collections.abc import Collection, Mapping
from typing import Final

from server.core.model import Advance, Position
from server.store.postgres.link import Connection
from server.store.postgres.sql import LOCK_HEADS

Turn = tuple[int, int]  # a conversation's key and the turn's last seq

# The conversation is kept from being deleted until the position is in.
_ADVANCE: Final = """
INSERT INTO positions (conversation, position, seq)
SELECT c.key, a.position, a.seq FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS a(key, position, seq)
JOIN (SELECT key FROM conversations WHERE key = ANY($1) ORDER BY key FOR KEY SHARE) c ON c.key = a.key
ON CONFLICT (conversation, position) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > positions.seq
RETURNING conversation, position, seq"""
_SETTLE: Final = """
WITH next AS (
    SELECT a.key, n.seq, n.created_at FROM unnest($1::bigint[], $2::bigint[]) AS a(key, answered)
    LEFT JOIN LATERAL (
        SELECT seq, created_at FROM messages
        WHERE conversation = a.key AND seq > a.answered AND type = 'CHAT_MESSAGE' ORDER BY seq LIMIT 1
    ) n ON true
), ended AS (
    DELETE FROM turns t USING next WHERE t.conversation = next.key AND next.seq IS NULL
)
UPDATE turns t SET first_seq = next.seq, since = next.created_at, last_seq = NULL, attempts = 0, next_at = 0,
    last_error = ''
FROM next WHERE t.conversation = next.key AND t.first_seq < next.seq"""

_AWAIT_NO_LONGER: Final = """
WITH a AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS a(conversation, seq)), t AS (
    DELETE FROM taken t USING a WHERE t.conversation = a.conversation AND t.seq = a.seq
    RETURNING t.conversation, t.seq
), d AS (
    DELETE FROM dead_letters d USING a WHERE d.conversation = a.conversation AND d.last_seq = a.seq
    RETURNING d.conversation, d.last_seq
)
SELECT conversation, seq FROM t UNION SELECT conversation, last_seq FROM d"""


async def advance(connection: Connection, advances: list[Advance]) -> list[bool]:
    """See PositionStore.advance. In turns, since one statement may touch a row but once."""
    await connection.fetch(LOCK_HEADS, sorted({each.conversation_key for each in advances}))
    moved: dict[Advance, bool] = {}
    answered: dict[int, int] = {}
    rest = advances
    while rest:
        first = {(each.conversation_key, each.position): each for each in reversed(rest)}
        values = list(first.values())
        rows = await connection.fetch(
            _ADVANCE,
            [each.conversation_key for each in values],
            [each.position for each in values],
            [each.seq for each in values],
        )
        done = {(row[0], row[1]) for row in rows}
        answered |= {row[0]: row[2] for row in rows if row[1] == Position.ANSWERED}
        moved |= {each: name in done for name, each in first.items()}
        rest = [each for each in rest if each not in moved]
    await _settle(connection, answered)
    return [moved[each] for each in advances]


async def move_answered(connection: Connection, answered: Mapping[int, int]) -> set[int]:
    """Moves ANSWERED to those seqs, by conversation key, where that is forward; the keys where it was.

    The heads are locked.
    """
    keys = list(answered)
    values = [Position.ANSWERED] * len(keys)
    rows = await connection.fetch(_ADVANCE, keys, values, list(answered.values()))
    await _settle(connection, {row[0]: row[2] for row in rows})
    return {row[0] for row in rows}


async def await_no_longer(connection: Connection, turns: Collection[Turn]) -> set[Turn]:
    """Ends the waiting for the answers to those turns; to which it was waited for. The heads are locked."""
    if not turns:
        return set()
    rows = await connection.fetch(_AWAIT_NO_LONGER, [key for key, _ in turns], [seq for _, seq in turns])
    return {(row[0], row[1]) for row in rows}


async def _settle(connection: Connection, answered: Mapping[int, int]) -> None:
    """Ends the turns up to those seqs; what is beyond is owed next."""
    if answered:
        await connection.execute(_SETTLE, list(answered), list(answered.values()))
