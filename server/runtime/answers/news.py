"""Tells the application's service of AI messages that no device was there for: at least once each."""

import asyncio
import random
from collections import Counter
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


class UndeliveredNews:
    """What is to be told stands in the store. `attempts`: refusals after which a piece of news is dropped."""

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
        self._refused: Counter[tuple[int, int]] = Counter()  # by conversation key and seq
        self._asked = asyncio.Event()
        self._asked.set()  # what a crash left

    def wake(self) -> None:
        """Look for news, some of which has just been saved."""
        self._asked.set()

    async def run(self) -> None:
        """Tell what is to be told, for ever."""
        failures = 0
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                is_all = await self._tell_page()
            except StoreUnavailable as fault:
                log.warning("undelivered messages could not be read", error=str(fault))
                is_all = False
            failures = 0 if is_all else failures + 1
            if failures:
                await asyncio.sleep(self._backoff.pause(failures, random.random()))
                self._asked.set()

    async def _tell_page(self) -> bool:
        """Tell until nothing is left; False where something could not be told."""
        while page := await self._store.undelivered(_AT_A_TIME):
            told = await asyncio.gather(*map(self._tell, page))
            over = [
                (news.conversation_key, news.message.seq)
                for news, is_told in zip(page, told, strict=True)
                if is_told
            ]
            await self._store.news_told(over)
            if len(over) < len(page):
                return False
        return True

    async def _tell(self, news: Undelivered) -> bool:
        """Tell one; whether it is over, told or dropped."""
        conversation = await self._store.find_conversation(news.conversation_id)
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
                return False
            return not slot.failed(failed) and self._is_dropped(news, failed)
        finally:
            slot.over()
        self._refused.pop((news.conversation_key, news.message.seq), None)
        return True

    def _is_dropped(self, news: Undelivered, failed: ResponderFailed) -> bool:
        """Count a refusal of this piece of news; whether it was the last that it may have."""
        key = news.conversation_key, news.message.seq
        self._refused[key] += not failed.kind.is_outage
        self._failures.record(failed, news.conversation_id, self._refused[key])
        if self._refused[key] < self._attempts:
            return False
        log.error("undelivered news was dropped", conversation_id=news.conversation_id, seq=key[1])
        del self._refused[key]
        return True
