"""Reading what the connection does not bring, while newer messages wait for it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from chatctl.client.errors import HistoryUnavailable
from chatctl.client.events import Event, Message, Missing
from chatctl.client.history import History
from chatctl.client.session import Session
from server.protocol import MAX_PAGE

log: Final = logging.getLogger(__name__)


class CatchingUp:
    """Reads the history until the session misses nothing. `emit` takes the events, in the order of seq."""

    def __init__(self, session: Session, history: History, emit: Callable[[Event], None]) -> None:
        self._session = session
        self._history = history
        self._emit = emit
        self._task: asyncio.Task[None] | None = None
        self._held: list[Message] = []

    @property
    def is_running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._read())

    def hold(self, message: Message) -> None:
        """It comes out when nothing older is missing any longer."""
        self._held.append(message)

    def release(self) -> None:
        """What is held comes out now."""
        held, self._held = self._held, []
        for message in sorted(held, key=lambda each: each.seq):
            self._emit(message)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.release()

    async def _read(self) -> None:
        try:
            while self._session.missing:
                await self._read_page()
        except HistoryUnavailable as error:
            log.warning("missed messages are not shown: %s", error)
            for first, last in self._session.missing:
                self._emit(Missing(first, last))
        self._task = None
        self.release()

    async def _read_page(self) -> None:
        (first, _), epoch = self._session.missing[0], self._session.epoch
        conversation_id = self._session.conversation_id
        page = await self._history.page(conversation_id, after_seq=first - 1, limit=MAX_PAGE)
        if epoch != self._session.epoch:
            return  # the log was replaced meanwhile: the page may be of the old one
        try:
            events = self._session.history(page)
        except (KeyError, TypeError, ValueError):
            raise HistoryUnavailable("the history cannot be read: it holds no messages") from None
        if not events:
            raise HistoryUnavailable(f"the history does not have message {first}")
        for event in events:
            self._emit(event)
