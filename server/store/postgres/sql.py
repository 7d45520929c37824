"""The statements, and the rows that they give."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from server.core.model import Conversation, StoredMessage, Summary
from server.protocol import MessageType

Row = Any  # an asyncpg.Record, which is a tuple with names
Epoch = Callable[[str], str]

# One round trip a commit. The heads are advanced in the order of the array, which is sorted: two nodes
# cannot lock each other out. A head that is gone gives no row, and its messages are left out. The series
# has as many rows as the arrays: by it the planner expects many and joins by a hash.
_SAVE: Final = """
WITH head AS (
    UPDATE conversations c SET last_seq = c.last_seq + h.count, ai_count = c.ai_count + h.ai_count
    FROM unnest($1::bigint[], $2::int[], $3::int[]) AS h(key, count, ai_count) WHERE c.key = h.key
    RETURNING c.key, c.last_seq - h.count AS base, c.ai_count - h.ai_count AS ai_base
), added AS (
    INSERT INTO messages (conversation, seq, ai_count, message_id, type, sender, data, created_at,
        client_timestamp, finish, id_hash)
    SELECT d.conversation, head.base + d.place, head.ai_base + d.ai_place, d.message_id, d.type, d.sender,
        d.data, d.created_at, d.client_timestamp, d.finish, d.id_hash
    FROM ROWS FROM (
        unnest($4::bigint[]), unnest($5::int[]), unnest($6::int[]), unnest($7::text[]), unnest($8::text[]),
        unnest($9::text[]), unnest($10::text[]), unnest($11::bigint[]), unnest($12::text[]),
        unnest($13::text[]), unnest($14::bigint[]), generate_series(1, $15::int)
    ) AS d(conversation, place, ai_place, message_id, type, sender, data, created_at, client_timestamp,
        finish, id_hash, number)
    JOIN head ON head.key = d.conversation
)"""
_HEADS: Final = " SELECT key, base FROM head"
SAVE: Final = _SAVE + _HEADS
# Where a responder is switched on: with the first CHAT_MESSAGE of each conversation.
SAVE_OWING: Final = (
    _SAVE
    + """, owing AS (
    INSERT INTO turns (conversation, first_seq, since)
    SELECT head.key, head.base + f.place, f.since
    FROM unnest($16::bigint[], $17::int[], $18::bigint[]) AS f(conversation, place, since)
    JOIN head ON head.key = f.conversation
    ON CONFLICT (conversation) DO NOTHING
)"""
    + _HEADS
)
# What was committed by whoever held a head is seen by the statements that follow.
LOCK_HEADS: Final = """
SELECT key FROM conversations WHERE key = ANY($1::bigint[]) ORDER BY key FOR NO KEY UPDATE"""
ANSWERED: Final = """
SELECT conversation, seq FROM positions WHERE conversation = ANY($1::bigint[]) AND position = 'answered'"""
END_BACKEND: Final = """
SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"""

MESSAGE_COLUMNS: Final = "seq, message_id, type, sender, data, created_at, client_timestamp, finish"
FIND_MESSAGES: Final = f"""
SELECT m.conversation, {", ".join(f"m.{name}" for name in MESSAGE_COLUMNS.split(", "))}
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS d(conversation, id_hash, message_id)
JOIN messages m ON m.conversation = d.conversation AND m.id_hash = d.id_hash
    AND m.message_id = d.message_id"""
FIND_MESSAGE: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 AND id_hash = $2 AND message_id = $3"
)
HISTORY: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 AND seq > $2 ORDER BY seq LIMIT $3"
)
HISTORY_BEFORE: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3"
)

_CONVERSATION: Final = "key, id, user_id, ai, epoch, last_seq"
# Sorted by id, so that two nodes cannot lock each other out; of one id the first in the batch is created.
CREATE_CONVERSATIONS: Final = """
INSERT INTO conversations (id, user_id, ai, epoch, created_at)
SELECT id, user_id, ai, epoch, created_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    WITH ORDINALITY AS n(id, user_id, ai, epoch, created_at, number)
ORDER BY id, number ON CONFLICT (id) DO NOTHING"""
FIND_CONVERSATIONS: Final = f"SELECT {_CONVERSATION} FROM conversations WHERE id = ANY($1::text[])"
FIND_CONVERSATION: Final = f"SELECT {_CONVERSATION} FROM conversations WHERE id = $1"
NEWEST: Final = "SELECT key, last_seq FROM conversations WHERE key = ANY($1::bigint[])"
CONVERSATIONS_OF: Final = "SELECT id FROM conversations WHERE user_id = $1"
LOCK_TO_DELETE: Final = "SELECT key FROM conversations WHERE id = ANY($1::text[]) ORDER BY key FOR UPDATE"
DELETE: Final = (
    "DELETE FROM messages WHERE conversation = ANY($1::bigint[])",
    *(
        f"DELETE FROM {table} WHERE conversation = ANY($1::bigint[])"
        for table in ("positions", "turns", "dead_letters", "taken", "pauses", "undelivered")
    ),
    "DELETE FROM conversations WHERE key = ANY($1::bigint[])",
)

# The newest message of each conversation and how far each side has got; a WHERE follows. What is unread is
# not counted: each message tells how many of the AI's there are up to it.
_SUMMARY_ROW: Final = """
SELECT c.key, c.id, c.user_id, c.ai, c.epoch, c.last_seq,
    coalesce(p.seq, 0), coalesce(r.seq, 0), coalesce(a.seq, 0),
    coalesce(c.ai_count - (
        SELECT ai_count - (type = 'AI_RESPONSE')::int FROM messages
        WHERE conversation = c.key AND seq > coalesce(p.seq, 0) ORDER BY seq LIMIT 1), 0),
    m.seq, m.message_id, m.type, m.sender, m.data, m.created_at, m.client_timestamp, m.finish
FROM conversations c
LEFT JOIN messages m ON m.conversation = c.key AND m.seq = c.last_seq
LEFT JOIN positions p ON p.conversation = c.key AND p.position = 'user_read'
LEFT JOIN positions r ON r.conversation = c.key AND r.position = 'ai_read'
LEFT JOIN positions a ON a.conversation = c.key AND a.position = 'answered'
"""
SUMMARY: Final = _SUMMARY_ROW + "WHERE c.id = $1"
SUMMARIES: Final = (
    _SUMMARY_ROW
    + "WHERE c.user_id = $1 ORDER BY coalesce(m.created_at, c.created_at) DESC, c.key DESC LIMIT $2"
)

# The conversation is kept from being deleted until the position is in.
ADVANCE: Final = """
INSERT INTO positions (conversation, position, seq)
SELECT c.key, a.position, a.seq FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS a(key, position, seq)
JOIN (SELECT key FROM conversations WHERE key = ANY($1) ORDER BY key FOR KEY SHARE) c ON c.key = a.key
ON CONFLICT (conversation, position) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > positions.seq
RETURNING conversation, position"""
POSITION: Final = "SELECT seq FROM positions WHERE conversation = $1 AND position = $2"


def message_of(row: Row) -> StoredMessage:
    """Makes a message of its columns, in the order of StoredMessage."""
    seq, message_id, type, *rest = row
    return StoredMessage(seq, message_id, MessageType(type), *rest)


def conversation_of(row: Sequence[Any], complete: Epoch) -> Conversation:
    """Makes a conversation of its columns. `complete`: see Origin.epoch."""
    key, id, user_id, ai, epoch, last_seq = row
    return Conversation(key, id, user_id, json.loads(ai), complete(epoch), last_seq)


def summary_of(row: Row, complete: Epoch) -> Summary:
    """Makes a summary of a row of SUMMARY or SUMMARIES."""
    last_message = None if row[10] is None else message_of(row[10:])
    return Summary(conversation_of(row[:6], complete), last_message, *row[6:10])
