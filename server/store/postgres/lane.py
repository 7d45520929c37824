"""Commits the batches of some conversations, one after the other, on a connection of their own."""

import asyncio
import time
from typing import Any, Final

import asyncpg
import structlog

from server.core.model import OUTCOME_UNKNOWN, STORE_UNAVAILABLE, Draft, Outcome, StoredMessage, settle_resend
from server.ports import Batch, Commit, PendingCommit, StoreUnavailable
from server.store.postgres import sql
from server.store.postgres.faults import is_undone
from server.store.postgres.link import Backend, Connection, Dial, Link, message_of
from server.store.postgres.saving import find, save

log = structlog.get_logger()

_CONNECT_PAUSE: Final = 0.1  # seconds between tries while the database does not take connections
_IN_DOUBT_SECONDS: Final = 30.0  # how long the outcome of a commit without an answer is looked for
_IN_DOUBT_PAUSE: Final = 0.1
_AGAIN_SECONDS: Final = 2.0  # later, whoever sent it has been told, or is about to be
_END_MS: Final = 1000  # how long at a time the end of a backend is waited for
_UNSAVED: Final = Outcome.refused(STORE_UNAVAILABLE)
_UNKNOWN: Final = Outcome.refused(OUTCOME_UNKNOWN)


class Lane:
    """Owns a connection. Its commits are over in the order in which they were asked for."""

    def __init__(self, dial: Dial, owes_answers: bool) -> None:
        self.link = Link(dial)
        self._owes_answers = owes_answers
        self.waiting = 0  # saves that are not over
        self.keys: set[int] = set()  # of the conversations in them
        self._last: asyncio.Task[Any] | None = None
        self._fault = ""  # what the database said since it last saved

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        """Commits the batch once what was asked for before is over."""
        keys = {draft.conversation_key for draft in batch.items}
        self.keys = self.keys | keys if self.waiting else keys
        self.waiting += 1
        saving = asyncio.create_task(self._save_after(self._last, batch))
        saving.add_done_callback(self._end)
        self._last = saving
        return PendingCommit(saving)

    @property
    def load(self) -> tuple[int, bool]:
        """How much a further save waits for: the less, the better."""
        return self.waiting, self._last is not None and not self._last.done()

    def beat(self) -> None:
        """Asks whether the database is still there, where nothing else asks it for something."""
        if not any(self.load):
            self._last = asyncio.create_task(self.link.beat())

    async def close(self) -> None:
        """Ends once all commits are over."""
        if self._last is not None:
            await asyncio.wait((self._last,))
        await self.link.close()

    def _end(self, _: asyncio.Task[list[Outcome]]) -> None:
        self.waiting -= 1

    async def _save_after(self, last: asyncio.Task[Any] | None, batch: Batch[Draft]) -> list[Outcome]:
        if last is not None and not last.done():
            await asyncio.wait((last,))
        if (connection := await self._connection_for(batch)) is None:
            return []
        return await self._save(connection, batch.claim(), time.monotonic() + _AGAIN_SECONDS)

    async def _connection_for(self, batch: Batch[Draft]) -> Connection | None:
        """Tries until there is one; None for a batch of which all was withdrawn meanwhile."""
        while batch.items:
            try:
                session = await self.link.session()
            except StoreUnavailable as fault:
                self._tell(str(fault))
                await asyncio.sleep(_CONNECT_PAUSE)
            else:
                return session.connection if batch.items else None
        return None

    async def _save(self, connection: Connection, drafts: list[Draft], until: float) -> list[Outcome]:
        """Commits the drafts; again, until that time, where a connection was lost with nothing saved."""
        try:
            outcomes = await save(connection, drafts, self._owes_answers)
        except Exception as fault:
            self._tell(message_of(fault))
            if isinstance(fault, asyncpg.ReadOnlySQLTransactionError):
                self.link.drop()  # a failover made a replica of the server behind it
            if is_undone(fault):
                return [_UNSAVED] * len(drafts)
        else:
            self._fault = ""
            return outcomes
        outcomes = await self._look_up(drafts)
        is_lost = _UNSAVED in outcomes and not any(outcome.is_new for outcome in outcomes)
        if time.monotonic() > until or not is_lost:
            return outcomes
        try:
            connection = (await self.link.session()).connection
        except StoreUnavailable:
            return outcomes
        return await self._save(connection, drafts, until)

    async def _look_up(self, drafts: list[Draft]) -> list[Outcome]:
        """After a commit without an answer: what is in the database decides, once nobody can change it.

        What the old connection asked for may be running still, or be on its way. Its end comes first.
        """
        old = self.link.drop()
        deadline = time.monotonic() + _IN_DOUBT_SECONDS
        while time.monotonic() < deadline:
            try:
                return await self._settle(old, drafts)
            except StoreUnavailable as fault:
                self._tell(str(fault))
            await asyncio.sleep(_IN_DOUBT_PAUSE)
        return [_UNKNOWN] * len(drafts)

    async def _settle(self, old: Backend | None, drafts: list[Draft]) -> list[Outcome]:
        if old is not None:
            ended = await self.link.fetch(sql.END_BACKEND, old.pid, old.started, _END_MS)
            if ended and not ended[0][0]:
                raise StoreUnavailable("a commit that gave no answer goes on")
        stored = await find(self.link, drafts)
        told: set[tuple[int, str]] = set()
        outcomes = []
        for draft in drafts:
            name = draft.conversation_key, draft.message_id
            outcomes.append(_judge(draft, stored.get(name), name in told))
            told.add(name)
        return outcomes

    def _tell(self, fault: str) -> None:
        """Logs a fault once for as long as it lasts: batches come hundreds of times a second."""
        if fault != self._fault:
            self._fault = fault
            log.warning("the database does not save", error=fault)


def _judge(draft: Draft, stored: StoredMessage | None, is_told: bool) -> Outcome:
    """Tells what became of a draft whose commit gave no answer.

    What was stored under its name before, or by another node, has another time in it.
    """
    if stored is None:
        return _UNSAVED
    if stored == StoredMessage.of(draft, stored.seq) and not is_told:
        return Outcome.saved(stored.seq)
    return settle_resend(draft, stored)
