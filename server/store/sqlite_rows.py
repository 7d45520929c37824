"""Rows of SQLite's tables, as the models that they stand for."""

import json
from typing import Any, Final

import apsw

from server.core.model import Conversation, StoredMessage
from server.protocol import MessageType
from server.store.hashes import hash_of

Row = tuple[Any, ...]

MESSAGE_COLUMNS: Final = "seq, message_id, type, sender, data, created_at, client_timestamp, finish"
FIND_CONVERSATION: Final = """
SELECT key, id, user_id, ai, epoch,
    max(last_seq, (SELECT coalesce(max(seq), 0) FROM messages WHERE conversation = key))
FROM conversations WHERE id = ?"""
_FIND_MESSAGE: Final = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? AND id_hash = ? AND message_id = ?"
)


def message_of(row: Row) -> StoredMessage:
    """Make a message of a row of MESSAGE_COLUMNS."""
    seq, message_id, type, *rest = row
    return StoredMessage(seq, message_id, MessageType(type), *rest)


def conversation_of(row: Row) -> Conversation:
    """Make a conversation of a row of FIND_CONVERSATION."""
    key, id, user_id, ai, epoch, last_seq = row
    return Conversation(key, id, user_id, json.loads(ai), epoch, last_seq)


def find_message(db: apsw.Connection, key: int, message_id: str) -> StoredMessage | None:
    """See MessageStore.find_message. Raises apsw.Error."""
    row = db.execute(_FIND_MESSAGE, (key, hash_of(message_id), message_id)).fetchone()
    return message_of(row) if row else None
