"""A store that forgets at the end of the process: for tests and for trying things out."""

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TypeVar

from server.core.model import (
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    StoredMessage,
    settle_resend,
)
from server.ports import Batch

T = TypeVar("T")


@dataclass(slots=True)
class _Log:
    conversation: Conversation
    messages: list[StoredMessage] = field(default_factory=list)
    by_id: dict[str, StoredMessage] = field(default_factory=dict)


class MemoryStore:
    """Implements MessageStore."""

    backend = "memory"

    def __init__(self) -> None:
        self._logs: list[_Log] = []  # a conversation's key is its place here
        self._keys: dict[str, int] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def is_healthy(self) -> bool:
        return True

    def save(self, batch: Batch[Draft]) -> asyncio.Future[list[Outcome]]:
        return _done([self._save(draft) for draft in batch.claim()])

    def create_conversations(self, batch: Batch[NewConversation]) -> asyncio.Future[list[Conversation]]:
        return _done([self._create(new) for new in batch.claim()])

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        key = self._keys.get(conversation_id)
        return None if key is None else self._snapshot(self._logs[key])

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        return self._logs[key].by_id.get(message_id)

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return self._logs[key].messages[after : after + limit]  # seq 1 is at place 0

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        messages = self._logs[key].messages
        end = len(messages) if before is None else bisect_left(messages, before, key=lambda m: m.seq)
        return messages[max(0, end - limit) : end]

    def _save(self, draft: Draft) -> Outcome:
        log = self._logs[draft.conversation_key]
        if stored := log.by_id.get(draft.message_id):
            return settle_resend(draft, stored)
        message = StoredMessage.of(draft, len(log.messages) + 1)
        log.messages.append(message)
        log.by_id[draft.message_id] = message
        return message.seq

    def _create(self, new: NewConversation) -> Conversation:
        key = self._keys.setdefault(new.id, len(self._logs))
        if key == len(self._logs):
            self._logs.append(_Log(Conversation(key, new.id, new.user_id, new.ai, new.epoch, last_seq=0)))
        return self._snapshot(self._logs[key])

    def _snapshot(self, log: _Log) -> Conversation:
        return replace(log.conversation, last_seq=len(log.messages))


def _done(result: list[T]) -> asyncio.Future[list[T]]:
    future: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
