"""The store on PostgreSQL: lanes that commit at the same time, and connections of their own for reading."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from server.core.model import (
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
    StoredMessage,
    Summary,
)
from server.ports import Batch, Commit, PendingCommit, StoreUnavailable
from server.store.hashes import hash_of
from server.store.postgres import schema, sql
from server.store.postgres.administration import connection_to
from server.store.postgres.dialer import Dialer
from server.store.postgres.lane import Lane
from server.store.postgres.link import Link
from server.store.postgres.links import Links
from server.store.postgres.origin import Origin
from server.store.postgres.positions import advance
from server.store.postgres.turns import OwedTables

T = TypeVar("T")
R = TypeVar("R")

_BEYOND_EVERY_SEQ: Final = 1 << 62
_BEAT_SECONDS: Final = 10.0  # an idle connection is asked so often whether there is still somebody behind it


class PostgresStore(OwedTables):
    """Implements MessageStore.

    `timeout`: seconds that the server gives a statement. `pool`: connections, at least three; half of them
    are lanes, of the others one is for creations and positions, the rest for reading. `owes_answers`: a
    responder is switched on, see TurnStore. `is_durable`: an ACK survives a loss of the server's power.
    """

    backend = "postgresql"

    def __init__(
        self,
        url: str,
        timeout: float = 5.0,
        pool: int = 8,
        owes_answers: bool = False,
        is_durable: bool = True,
    ) -> None:
        self._url = url
        self._origin = Origin()
        dialer = Dialer(url, timeout, is_durable, self._origin)
        self.lanes = max(1, pool // 2)
        super().__init__(Links(dialer.dial, max(1, pool - self.lanes - 1)), Links(dialer.dial, 1))
        self._lanes = [Lane(dialer.dial_for_commits, owes_answers) for _ in range(self.lanes)]
        self._beat: asyncio.Task[None] | None = None

    def when_replaced(self, tell: Callable[[], None]) -> None:
        self._origin.on_new_epochs = tell

    async def open(self) -> None:
        """Connects, and sets up an empty database. Raises StoreUnavailable, SchemaTooNew, SchemaTooOld."""
        async with connection_to(self._url) as connection:
            schema.check(await schema.set_up(connection))
        links = [lane.link for lane in self._lanes] + self._writers.all + self._readers.all
        try:
            await asyncio.gather(*(link.session() for link in links))
        except StoreUnavailable:
            await self.close()
            raise
        self._beat = asyncio.create_task(self._keep_alive())

    async def close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        for lane in self._lanes:
            await lane.close()
        await self._writers.close()
        await self._readers.close()

    async def is_healthy(self) -> bool:
        try:
            await self._readers.read("SELECT 1")
        except StoreUnavailable:
            return False
        return True

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        """Commits in the lane that the conversations are in, else in a free one."""
        keys = {draft.conversation_key for draft in batch.items}
        busy = [lane for lane in self._lanes if lane.waiting]
        for lane in busy:
            if not lane.keys.isdisjoint(keys):
                return lane.save(batch)
        return min(self._lanes, key=lambda lane: lane.load).save(batch)

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        rows = await self._readers.read(sql.FIND_MESSAGE, key, hash_of(message_id), message_id)
        return sql.message_of(rows[0]) if rows else None

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return [sql.message_of(row) for row in await self._readers.read(sql.HISTORY, key, after, limit)]

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        end = _BEYOND_EVERY_SEQ if before is None else before
        rows = await self._readers.read(sql.HISTORY_BEFORE, key, end, limit)
        return [sql.message_of(row) for row in reversed(rows)]

    def create_conversations(self, batch: Batch[NewConversation]) -> Commit[Conversation]:
        return PendingCommit(asyncio.create_task(self._write(batch, self._create)))

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        rows = await self._readers.read(sql.FIND_CONVERSATION, conversation_id)
        return self._conversation_of(rows[0]) if rows else None

    async def heads(self, keys: list[int]) -> dict[int, int]:
        return {row[0]: row[1] for row in await self._readers.read(sql.NEWEST, keys)}

    async def summary(self, conversation_id: str) -> Summary | None:
        rows = await self._readers.read(sql.SUMMARY, conversation_id)
        return sql.summary_of(rows[0], self._origin.epoch) if rows else None

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        rows = await self._readers.read(sql.SUMMARIES, user_id, limit)
        return [sql.summary_of(row, self._origin.epoch) for row in rows]

    async def conversations_of(self, user_id: str) -> list[str]:
        return [row[0] for row in await self._readers.read(sql.CONVERSATIONS_OF, user_id)]

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        async with self._writers.lent() as link, link.transaction() as connection:
            keys = [row[0] for row in await connection.fetch(sql.LOCK_TO_DELETE, conversation_ids)]
            for statement in sql.DELETE:
                await connection.execute(statement, keys)

    def advance(self, batch: Batch[Advance]) -> Commit[bool]:
        return PendingCommit(asyncio.create_task(self._write(batch, self._advance)))

    async def position(self, key: int, position: Position) -> int:
        rows = await self._readers.read(sql.POSITION, key, position)
        return int(rows[0][0]) if rows else 0

    async def _write(self, batch: Batch[T], write: Callable[[Link, list[T]], Awaitable[list[R]]]) -> list[R]:
        """Claims the batch once there is a connection."""
        async with self._writers.lent() as link:
            await link.session()
            items = batch.claim()
            return await write(link, items) if items else []

    async def _create(self, link: Link, new: list[NewConversation]) -> list[Conversation]:
        ids = [each.id for each in new]
        await link.fetch(
            sql.CREATE_CONVERSATIONS,
            ids,
            [each.user_id for each in new],
            [json.dumps(each.ai) for each in new],
            [each.epoch for each in new],
            [each.created_at for each in new],
        )
        rows = await link.fetch(sql.FIND_CONVERSATIONS, ids)
        found = {row["id"]: self._conversation_of(row) for row in rows}
        return [found[id] for id in ids]

    async def _advance(self, link: Link, advances: list[Advance]) -> list[bool]:
        async with link.transaction() as connection:
            return await advance(connection, advances)

    def _conversation_of(self, row: Any) -> Conversation:
        return sql.conversation_of(row, self._origin.epoch)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            for lane in self._lanes:
                lane.beat()
            await self._writers.beat()
            await self._readers.beat()
