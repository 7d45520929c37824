"""Tells the application's service of AI messages that no device was there for: at least once each."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import Final

import structlog

from server.core.owed import Undelivered
from server.core.retrying import Backoff, FailureKind
from server.core.webhooks import undelivered_data, undelivered_id
from server.ports import MessageStore, Notifier, ResponderFailed, StoreUnavailable
from server.runtime.answers.failing import Failures
from server.runtime.answers.gate import Gate

log = structlog.get_logger()

EVENT: Final = "undelivered"
_AT_A_TIME: Final = 16
_BEFORE_ALL: Final = (0, 0)
_WHILE_DOWN: Final = 1.0  # seconds; then it waits at the gate

_Name = tuple[int, int]  # conversation key and seq


@dataclass(slots=True)
class _Trouble:
    """A piece of news that could not be told. `not_before` in monotonic seconds."""

    refusals: int = 0
    not_before: float = 0.0


class UndeliveredNews:
    """What is to be told stands in the store. `attempts`: refusals after which a piece of news is dropped.

    One that is refused waits for its next try and holds up no other.
    """

    def __init__(
        self,
        store: MessageStore,
        notifier: Notifier,
        failures: Failures,
        gate: Gate,
        attempts: int,
        backoff: Backoff,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._failures = failures
        self._gate = gate
        self._attempts = attempts
        self._backoff = backoff
        self._troubles: dict[_Name, _Trouble] = {}
        self._asked = asyncio.Event()
        self._asked.set()  # what a crash left

    def wake(self) -> None:
        """Look for news, some of which has just been saved."""
        self._asked.set()

    async def run(self) -> None:
        """Tell what is to be told, for ever."""
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause(failures)):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._tell_all()
                failures = 0
            except StoreUnavailable as fault:
                failures += 1
                log.warning("undelivered messages could not be read", error=str(fault))

    def _pause(self, failures: int) -> float | None:
        """Compute the seconds until something is to be tried again; None where nothing is."""
        if failures:
            return self._backoff.pause(failures, random.random())
        next_try = min((it.not_before for it in self._troubles.values()), default=None)
        return None if next_try is None else max(0.0, next_try - time.monotonic())

    async def _tell_all(self) -> None:
        """Tell what is due. Raises StoreUnavailable."""
        after = _BEFORE_ALL
        while page := await self._store.undelivered(after, _AT_A_TIME):
            due = [news for news in page if self._is_due(news)]
            told = await asyncio.gather(*map(self._tell, due))
            over = [_name(news) for news, is_over in zip(due, told, strict=True) if is_over]
            await self._store.news_told(over)
            for name in over:
                self._troubles.pop(name, None)
            after = _name(page[-1])

    def _is_due(self, news: Undelivered) -> bool:
        trouble = self._troubles.get(_name(news))
        return trouble is None or trouble.not_before <= time.monotonic()

    async def _tell(self, news: Undelivered) -> bool:
        """Tell one; whether it is over, told or dropped."""
        try:
            conversation = await self._store.find_conversation(news.conversation_id)
        except StoreUnavailable:
            return self._try_later(news, self._backoff.first)
        if conversation is None or conversation.key != news.conversation_key:
            return True
        slot = await self._gate.enter()
        assert slot is not None
        data = undelivered_data(conversation, news.message)
        try:
            await self._notifier.notify(EVENT, data, undelivered_id(conversation, news.message.seq))
            slot.answered()
        except ResponderFailed as failed:
            if failed.kind is FailureKind.GONE:
                await self._failures.stop_all(str(failed))
            elif not slot.failed(failed):
                return self._is_dropped(news, failed)
            return self._try_later(news, _WHILE_DOWN)
        finally:
            slot.over()
        return True

    def _is_dropped(self, news: Undelivered, failed: ResponderFailed) -> bool:
        """Count a refusal of this piece of news; whether it was the last that it may have."""
        trouble = self._troubles.setdefault(_name(news), _Trouble())
        trouble.refusals += not failed.kind.is_outage
        self._failures.record(failed, news.conversation_id, trouble.refusals)
        if trouble.refusals >= self._attempts:
            log.error(
                "undelivered news was dropped", conversation_id=news.conversation_id, seq=_name(news)[1]
            )
            return True
        refusals = max(1, trouble.refusals)
        return self._try_later(news, self._backoff.pause(refusals, random.random(), failed.retry_after))

    def _try_later(self, news: Undelivered, seconds: float) -> bool:
        trouble = self._troubles.setdefault(_name(news), _Trouble())
        trouble.not_before = time.monotonic() + seconds
        return False


def _name(news: Undelivered) -> _Name:
    return news.conversation_key, news.message.seq
