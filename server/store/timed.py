"""Turns a read that takes too long into StoreUnavailable: the one place where that is done."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from server.core.model import Conversation, Position, StoredMessage, Summary
from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered
from server.ports import MessageStore, StoreUnavailable

R = TypeVar("R")

_HEALTH_SECONDS: Final = 2.0  # a store that takes longer to answer is no better than one that does not


class TimedStore:
    """Implements MessageStore over another one. `timeout`: seconds that a read may take.

    Commits have deadlines of their own, by which items are withdrawn from their batch: see GroupCommit. A
    deletion is waited for to its end, by Conversations: only then is it known who is to be told what.
    """

    def __init__(self, store: MessageStore, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self.backend, self.lanes = store.backend, store.lanes
        self.when_replaced = store.when_replaced
        self.open = store.open
        self.close = store.close
        self.save = store.save
        self.create_conversations = store.create_conversations
        self.advance = store.advance
        self.delete_conversations = store.delete_conversations

    async def is_healthy(self) -> bool:
        try:
            return await self._in_time(self._store.is_healthy(), _HEALTH_SECONDS)
        except StoreUnavailable:
            return False

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        return await self._in_time(self._store.find_message(key, message_id))

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return await self._in_time(self._store.history(key, after, limit))

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        return await self._in_time(self._store.history_before(key, before, limit))

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        return await self._in_time(self._store.find_conversation(conversation_id))

    async def heads(self, keys: list[int]) -> dict[int, int]:
        return await self._in_time(self._store.heads(keys))

    async def summary(self, conversation_id: str) -> Summary | None:
        return await self._in_time(self._store.summary(conversation_id))

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        return await self._in_time(self._store.summaries(user_id, limit))

    async def conversations_of(self, user_id: str) -> list[str]:
        return await self._in_time(self._store.conversations_of(user_id))

    async def position(self, key: int, position: Position) -> int:
        return await self._in_time(self._store.position(key, position))

    async def owed(self, after: int, limit: int, before: int | None = None) -> list[OwedTurn]:
        return await self._in_time(self._store.owed(after, limit, before))

    async def backlog(self) -> Backlog:
        return await self._in_time(self._store.backlog())

    async def read_turn(self, key: int, limit: int, history: int) -> TurnMessages | None:
        return await self._in_time(self._store.read_turn(key, limit, history))

    async def note_attempt(self, turn: OwedTurn) -> bool:
        return await self._in_time(self._store.note_attempt(turn))

    async def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        return await self._in_time(self._store.give_up(turn, failed_at))

    async def take(self, key: int, seq: int, until: int) -> bool:
        return await self._in_time(self._store.take(key, seq, until))

    async def cancel_taken(self, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
        return await self._in_time(self._store.cancel_taken(key, seq, kept, now))

    async def is_answered(self, key: int, seq: int) -> bool:
        return await self._in_time(self._store.is_answered(key, seq))

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        return await self._in_time(self._store.dead_letters(limit))

    async def replay_dead_letters(self, conversation_id: str | None, since: int | None) -> int:
        return await self._in_time(self._store.replay_dead_letters(conversation_id, since))

    async def replays(self, limit: int) -> list[DeadLetter]:
        return await self._in_time(self._store.replays(limit))

    async def end_replay(self, letter: DeadLetter) -> None:
        await self._in_time(self._store.end_replay(letter))

    async def delete_dead_letters(self, conversation_id: str) -> int:
        return await self._in_time(self._store.delete_dead_letters(conversation_id))

    async def delete_dead_letter(self, id: int) -> None:
        await self._in_time(self._store.delete_dead_letter(id))

    async def pause(self, pause: Pause) -> None:
        await self._in_time(self._store.pause(pause))

    async def resume(self) -> None:
        await self._in_time(self._store.resume())

    async def paused(self) -> Pause | None:
        return await self._in_time(self._store.paused())

    async def undelivered(self, after: tuple[int, int], limit: int) -> list[Undelivered]:
        return await self._in_time(self._store.undelivered(after, limit))

    async def news_told(self, messages: list[tuple[int, int]]) -> None:
        await self._in_time(self._store.news_told(messages))

    async def _in_time(self, answer: Awaitable[R], seconds: float | None = None) -> R:
        limit = self._timeout if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise StoreUnavailable(f"the database did not answer within {limit:g} s") from None
