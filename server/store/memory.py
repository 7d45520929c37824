"""A store that forgets at the end of the process: for tests and for trying things out."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace

from server.core.model import (
    CANNOT_BE_STORED,
    CONVERSATION_GONE,
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
    StoredMessage,
    Summary,
    settle_resend,
)
from server.ports import Batch, Commit, DoneCommit
from server.protocol import MessageType


@dataclass(slots=True)
class _Log:
    conversation: Conversation
    messages: list[StoredMessage] = field(default_factory=list)
    by_id: dict[str, StoredMessage] = field(default_factory=dict)
    positions: dict[Position, int] = field(default_factory=dict)
    created_at: int = 0


class MemoryStore:
    """Implements MessageStore."""

    backend = "memory"

    def __init__(self) -> None:
        self._logs: dict[int, _Log] = {}
        self._keys: dict[str, int] = {}
        self._next_key = 0

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def is_healthy(self) -> bool:
        return True

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        return DoneCommit([self._save(draft) for draft in batch.claim()])

    def create_conversations(self, batch: Batch[NewConversation]) -> Commit[Conversation]:
        return DoneCommit([self._create(new) for new in batch.claim()])

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        key = self._keys.get(conversation_id)
        return None if key is None else self._snapshot(self._logs[key])

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        return self._log(key).by_id.get(message_id)

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return self._log(key).messages[after : after + limit]  # seq 1 is at place 0

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        messages = self._log(key).messages
        end = len(messages) if before is None else bisect_left(messages, before, key=lambda m: m.seq)
        return messages[max(0, end - limit) : end]

    async def summary(self, conversation_id: str) -> Summary | None:
        key = self._keys.get(conversation_id)
        return None if key is None else self._summary(self._logs[key])

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        logs = [log for log in self._logs.values() if log.conversation.user_id == user_id]
        return [self._summary(log) for log in sorted(logs, key=_newest, reverse=True)[:limit]]

    async def conversations_of(self, user_id: str) -> list[str]:
        return [log.conversation.id for log in self._logs.values() if log.conversation.user_id == user_id]

    def advance(self, batch: Batch[Advance]) -> Commit[bool]:
        return DoneCommit([self._advance(advance) for advance in batch.claim()])

    async def position(self, key: int, position: Position) -> int:
        return self._log(key).positions.get(position, 0)

    async def unanswered(self, since: int, limit: int) -> list[str]:
        return [log.conversation.id for log in self._logs.values() if _is_unanswered(log, since)][:limit]

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        for conversation_id in conversation_ids:
            if (key := self._keys.pop(conversation_id, None)) is not None:
                del self._logs[key]

    def _log(self, key: int) -> _Log:
        """An empty one for a conversation that was deleted."""
        return self._logs.get(key) or _Log(Conversation(key, "", "", {}, "", 0))

    def _save(self, draft: Draft) -> Outcome:
        if (log := self._logs.get(draft.conversation_key)) is None:
            return Outcome.refused(CONVERSATION_GONE)
        if stored := log.by_id.get(draft.message_id):
            return settle_resend(draft, stored)
        if not _is_storable(draft.data):
            return Outcome.refused(CANNOT_BE_STORED)
        message = StoredMessage.of(draft, len(log.messages) + 1)
        log.messages.append(message)
        log.by_id[draft.message_id] = message
        return Outcome.saved(message.seq)

    def _create(self, new: NewConversation) -> Conversation:
        if (key := self._keys.get(new.id)) is None:
            key = self._keys[new.id] = self._next_key
            self._next_key += 1
            conversation = Conversation(key, new.id, new.user_id, new.ai, new.epoch, last_seq=0)
            self._logs[key] = _Log(conversation, created_at=new.created_at)
        return self._snapshot(self._logs[key])

    def _advance(self, advance: Advance) -> bool:
        if (log := self._logs.get(advance.conversation_key)) is None:
            return False
        positions = log.positions
        if advance.seq <= positions.get(advance.position, 0):
            return False
        positions[advance.position] = advance.seq
        return True

    def _snapshot(self, log: _Log) -> Conversation:
        return replace(log.conversation, last_seq=len(log.messages))

    def _summary(self, log: _Log) -> Summary:
        read = log.positions.get(Position.USER_READ, 0)
        unread = sum(1 for m in log.messages[read:] if m.type is MessageType.AI_RESPONSE)
        return Summary(self._snapshot(log), log.messages[-1] if log.messages else None, read, unread)


def _newest(log: _Log) -> int:
    return log.messages[-1].created_at if log.messages else log.created_at


def _is_unanswered(log: _Log, since: int) -> bool:
    answered = log.positions.get(Position.ANSWERED, 0)
    return any(m.type is MessageType.CHAT_MESSAGE and m.created_at >= since for m in log.messages[answered:])


def _is_storable(text: str) -> bool:
    """Whether it is Unicode: half a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True
