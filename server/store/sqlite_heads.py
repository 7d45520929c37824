"""What is known of conversations' ends, from which new messages get their seqs."""

from collections.abc import Iterable
from typing import Final

from server.core.model import Draft, Position
from server.protocol import MessageType
from server.store.hashes import hash_of
from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_rows import Row
from server.store.sqlite_turns import is_awaited, settle

ROW_COLUMNS: Final = (
    "conversation, seq, message_id, type, sender, data, created_at, client_timestamp, finish, id_hash, "
    "ai_count"
)
_READ_HEAD: Final = """
SELECT max(c.last_seq, coalesce(m.seq, 0)), coalesce(m.ai_count, 0), coalesce(p.seq, 0),
    EXISTS (SELECT 1 FROM turns WHERE conversation = c.key)
FROM conversations c
LEFT JOIN messages m ON m.conversation = c.key
    AND m.seq = (SELECT max(seq) FROM messages WHERE conversation = c.key)
LEFT JOIN positions p ON p.conversation = c.key AND p.position = 'answered'
WHERE c.key = ?"""
_ADVANCE: Final = """
INSERT INTO positions (conversation, position, seq) SELECT key, ?, ? FROM conversations WHERE key = ?
ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq"""
# SQLite gives the highest id in the table and one more, which does where the newest message is still there.
_ID_BEYOND_REMOVED: Final = """
SELECT newest + 1 FROM log WHERE newest > (SELECT coalesce(max(id), 0) FROM messages)"""
_KNOWN_HEADS: Final = 65536  # conversations whose head is remembered
_AI: Final = MessageType.AI_RESPONSE


class NoConversation(Exception):
    """The conversation was deleted while a message for it was on its way."""


class AnsweredBefore(Exception):
    """The turn that a draft answers has been answered."""


class _Head:
    """What is known of a conversation's end: as it is committed, or will be by this transaction."""

    __slots__ = ("ai_count", "answered", "is_owing", "seq")

    def __init__(self, seq: int, ai_count: int, answered: int, is_owing: bool) -> None:
        self.seq = seq
        self.ai_count = ai_count  # AI messages up to there
        self.answered = answered  # the position
        self.is_owing = is_owing  # it may have a row in `turns`; without one it has none for sure


class Heads:
    """Remembers them, as far as this transaction has got; what is undone is to be forgotten.

    `owes_answers`: a responder is switched on, see TurnStore. `duties`: rows of this transaction, by draft
    and seq, that more is to be done for than to insert them.
    """

    def __init__(self, connection: WriteConnection, owes_answers: bool) -> None:
        self._connection = connection
        self._owes_answers = owes_answers
        self._heads: dict[int, _Head] = {}
        self._are_ids_rising = False  # the ids that SQLite gives, for sure
        self.duties: list[tuple[Draft, int]] = []

    def row(self, draft: Draft) -> Row:
        """Give a draft its place: a row of ROW_COLUMNS. Raises NoConversation, AnsweredBefore, apsw.Error."""
        key = draft.conversation_key
        head = self._heads.get(key) or self._read(key)
        seq = head.seq + 1
        if draft.type is _AI:
            self._begin_ai_message(draft, head, seq)
        elif self._owes_answers and not head.is_owing:
            head.is_owing = True
            self.duties.append((draft, seq))
        head.seq = seq
        return (
            key,
            seq,
            draft.message_id,
            draft.type,
            draft.sender,
            draft.data,
            draft.created_at,
            draft.client_timestamp,
            draft.finish,
            hash_of(draft.message_id),
            head.ai_count,
        )

    def move(self, key: int, position: Position, seq: int) -> bool:
        """Move a position forward, with what that ends, in this transaction; whether it moved."""
        db = self._connection.db
        db.execute(_ADVANCE, (position.value, seq, key))
        if not db.changes():
            return False
        if position is Position.ANSWERED:
            self.forget(key)  # should this transaction fail, what it tells would be wrong
            settle(db, key, seq)
        return True

    def id_for_next(self) -> int | None:
        """Give the next row its id where SQLite's would be one that a removed message had; else None."""
        if self._are_ids_rising:
            return None
        self._are_ids_rising = True
        id: int | None = self._connection.db.execute(_ID_BEYOND_REMOVED).get
        return id

    def forget_ids(self) -> None:
        """Look after the next row's id: rows were removed, or one that was given its id was not inserted."""
        self._are_ids_rising = False

    def forget(self, key: int) -> None:
        """Have the next draft look anew where its conversation ends."""
        self._heads.pop(key, None)

    def undo(self, drafts: Iterable[Draft]) -> None:
        """Forget what was given to drafts whose transaction was not committed."""
        self.duties.clear()
        self.forget_ids()
        for draft in drafts:
            self.forget(draft.conversation_key)

    def _begin_ai_message(self, draft: Draft, head: _Head, seq: int) -> None:
        if draft.answers is not None:
            if draft.answers > head.answered:
                head.answered = draft.answers
            elif not is_awaited(self._connection.db, draft.conversation_key, draft.answers):
                raise AnsweredBefore
        if draft.answers is not None or draft.undelivered:
            self.duties.append((draft, seq))
        head.ai_count += 1

    def _read(self, key: int) -> _Head:
        if len(self._heads) >= _KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]
        if (row := self._connection.db.execute(_READ_HEAD, (key,)).fetchone()) is None:
            raise NoConversation
        head = self._heads[key] = _Head(*row)
        return head
