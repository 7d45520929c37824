"""Drafts and short ways to what a store does, for tests of stores and of what uses them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.core.model import Conversation, Draft, NewConversation, Outcome, StoredMessage
from server.ports import Batch, MessageStore, Saved
from server.protocol import MessageType

NOW_MS = 1_790_000_000_000


def draft(key: int, message_id: str, data: str = "hello", sender: str = "kai", **fields: Any) -> Draft:
    of_kind: dict[str, Any] = {
        "type": MessageType.CHAT_MESSAGE,
        "created_at": NOW_MS,
        "arrived": time.monotonic(),
    } | fields
    return Draft(conversation_key=key, message_id=message_id, data=data, sender=sender, **of_kind)


def new_conversation(id: str, user_id: str = "kai", epoch: str = "e1") -> NewConversation:
    ai = {"id": "ai_alex", "name": "Alex", "mood": "é ☕"}
    return NewConversation(id, user_id, ai, epoch, created_at=NOW_MS, arrived=time.monotonic())


async def create(store: MessageStore, *ids: str, user_id: str = "kai") -> list[Conversation]:
    return await store.create_conversations(Batch([new_conversation(id, user_id) for id in ids]))


async def outcomes(saved: Saved) -> list[Outcome]:
    """Whether it was saved at once or is under way."""
    return saved if isinstance(saved, list) else await saved


async def save(store: MessageStore, *drafts: Draft) -> list[Outcome]:
    return await outcomes(store.save(Batch(list(drafts))))


async def whole_history(store: MessageStore, key: int) -> list[StoredMessage]:
    return await store.history(key, 0, 1_000_000)


@asynccontextmanager
async def opened(store: MessageStore) -> AsyncIterator[MessageStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
