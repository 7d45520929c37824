"""What /stats tells of the answers."""

import asyncio
from typing import Any, Final

from server.core.owed import Backlog
from server.ports import MessageStore, StoreUnavailable
from server.runtime.answers.gate import Gate
from server.runtime.answers.streams import Streams
from server.runtime.base.clock import now_ms
from server.runtime.base.metrics import Metrics

_READ_SECONDS: Final = 0.5  # for the store to answer; after that its last answer is told


class AnswerFigures:
    """Reads what others own."""

    def __init__(self, store: MessageStore, streams: Streams, metrics: Metrics, gate: Gate | None) -> None:
        self._store = store
        self._streams = streams
        self._metrics = metrics
        self._gate = gate
        self._backlog = Backlog(0, None, 0)

    async def read(self) -> dict[str, Any]:
        """Return the section `ai`. Never raises."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                self._backlog = await self._store.backlog()
        except (StoreUnavailable, TimeoutError):
            pass
        since = self._backlog.since
        return {
            "turns_waiting": self._backlog.turns,
            "oldest_unanswered_seconds": 0.0 if since is None else max(0.0, (now_ms() - since) / 1000),
            "streams": self._streams.count,
            "failures": dict(self._metrics.ai_failures),
            "breaker": "closed" if self._gate is None else self._gate.state,
            "dead_letters": self._backlog.dead_letters,
            "paused": self._gate is not None and not self._gate.is_open,
        }
