"""Drafts and short ways to what a store does, for tests of stores and of what uses them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.core.model import Conversation, Draft, NewConversation, Outcome, Refused, StoredMessage
from server.ports import Batch, MessageStore
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


async def save(store: MessageStore, *drafts: Draft) -> list[Outcome]:
    return await store.save(Batch(list(drafts)))


def told(*what: int | Refused | Outcome) -> list[Outcome]:
    """Names outcomes in short: a new seq, why a draft is refused, or an outcome as it is."""
    return [_outcome(each) for each in what]


def _outcome(what: int | Refused | Outcome) -> Outcome:
    if isinstance(what, int):
        return Outcome.saved(what)
    return Outcome.refused(what) if isinstance(what, Refused) else what


async def whole_history(store: MessageStore, key: int) -> list[StoredMessage]:
    return await store.history(key, 0, 1_000_000)


@asynccontextmanager
async def opened(store: MessageStore) -> AsyncIterator[MessageStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
