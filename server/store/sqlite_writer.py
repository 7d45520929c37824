"""What else is written than messages: conversations, positions, and what is owed."""

import json
from collections.abc import Callable
from typing import Final, TypeVar

import apsw

from server.core.model import Advance, Conversation, NewConversation, Position
from server.core.owed import OwedTurn
from server.ports import Batch
from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_deletion import mark_deleted
from server.store.sqlite_heads import Heads
from server.store.sqlite_rows import FIND_CONVERSATION, conversation_of
from server.store.sqlite_turns import await_no_longer, bury, take

R = TypeVar("R")

_CREATE_CONVERSATION: Final = """
INSERT OR IGNORE INTO conversations (id, user_id, ai, epoch, created_at) VALUES (?, ?, ?, ?, ?)"""


class SqliteWriter:
    """Works in the writer's thread. Each call is a transaction; its methods raise StoreUnavailable."""

    def __init__(self, connection: WriteConnection, heads: Heads) -> None:
        self._connection = connection
        self._heads = heads

    def create_conversations(self, batch: Batch[NewConversation]) -> list[Conversation]:
        """See MessageStore.create_conversations."""
        with self._connection.whole_or_unavailable():
            return [self._create_conversation(new) for new in self._connection.claim(batch)]

    def advance(self, batch: Batch[Advance]) -> list[bool]:
        """See MessageStore.advance."""
        with self._connection.whole_or_unavailable():
            return [
                self._heads.move(advance.conversation_key, advance.position, advance.seq)
                for advance in self._connection.claim(batch)
            ]

    def delete_conversations(self, conversation_ids: list[str]) -> None:
        """See MessageStore.delete_conversations."""
        with self._connection.whole_or_unavailable():
            self._connection.begin()
            for conversation_id in conversation_ids:
                if (key := mark_deleted(self._connection.db, conversation_id)) is not None:
                    self._heads.forget(key)

    def change(self, do: Callable[[apsw.Connection], R]) -> R:
        """Do in a transaction what is no matter of messages."""
        with self._connection.whole_or_unavailable():
            self._connection.begin()
            return do(self._connection.db)

    def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        """See TurnStore.give_up."""
        last = turn.last_seq
        assert last is not None  # a turn that was tried
        return self.change(
            lambda db: (
                bury(db, turn, failed_at) and self._heads.move(turn.conversation_key, Position.ANSWERED, last)
            )
        )

    def take(self, key: int, seq: int, until: int) -> bool:
        """See TurnStore.take."""

        def do(db: apsw.Connection) -> bool:
            is_awaited = await_no_longer(db, key, seq)
            is_taken = self._heads.move(key, Position.ANSWERED, seq) or is_awaited
            if is_taken:
                take(db, key, seq, until)
            return is_taken

        return self.change(do)

    def _create_conversation(self, new: NewConversation) -> Conversation:
        db = self._connection.db
        values = (new.id, new.user_id, json.dumps(new.ai), new.epoch, new.created_at)
        db.execute(_CREATE_CONVERSATION, values)
        if db.changes():
            return Conversation(db.last_insert_rowid(), new.id, new.user_id, new.ai, new.epoch, last_seq=0)
        (row,) = db.execute(FIND_CONVERSATION, (new.id,))
        return conversation_of(row)
