"""Deliveries to the application's service as operators see them: paused, or sent again."""

import asyncio
from typing import Final

import structlog

from server.core.owed import Pause
from server.ports import MessageStore, StoreUnavailable
from server.runtime.answers.gate import Gate
from server.runtime.answers.replays import Replays
from server.runtime.base.clock import now_ms

log = structlog.get_logger()

_WATCH_SECONDS: Final = 2.0  # in which a node learns what was asked of another one


class Deliveries:
    """Keeps the gate as the store says: deliveries are paused for all nodes, over restarts too.

    `gate` and `replays` are None where this server calls no service; then the store alone is changed.
    """

    def __init__(self, store: MessageStore, gate: Gate | None, replays: Replays | None) -> None:
        self._store = store
        self._gate = gate
        self._replays = replays

    async def watch(self) -> None:
        """Open and shut the gate, for ever. Until the store has answered it is shut."""
        while True:
            try:
                paused = await self._store.paused()
            except StoreUnavailable:
                await asyncio.sleep(_WATCH_SECONDS)
                continue
            self._set(paused is not None)
            if self._replays is not None:
                self._replays.wake()
            await asyncio.sleep(_WATCH_SECONDS)

    async def pause(self, reason: str) -> None:
        """Raises StoreUnavailable."""
        await self._store.pause(Pause(now_ms(), reason))
        self._set(is_paused=True)
        log.warning("deliveries to the AI service are paused", reason=reason)

    async def resume(self) -> None:
        """Raises StoreUnavailable."""
        await self._store.resume()
        self._set(is_paused=False)
        log.info("deliveries to the AI service go on")

    async def replay(self, conversation_id: str | None, since: int | None) -> int:
        """Have dead letters sent again; how many. `since`: failed then or later, ms since the epoch.

        Raises StoreUnavailable.
        """
        count = await self._store.replay_dead_letters(conversation_id, since)
        if self._replays is not None:
            self._replays.wake()
        return count

    def _set(self, is_paused: bool) -> None:
        if self._gate is not None and self._gate.is_open == is_paused:
            (self._gate.shut if is_paused else self._gate.open)()
