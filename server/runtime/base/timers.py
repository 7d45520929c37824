"""Many deadlines on one timer of the event loop."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import structlog

from server.core.deadlines import Deadlines
from server.runtime.base.batches import BATCH_SIZE

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """`on_due` is called with each key whose time is over, once; what it raises is logged."""

    def __init__(self, on_due: Callable[[K], None]) -> None:
        self._on_due = on_due
        self._deadlines: Deadlines[K] = Deadlines()
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = 0.0

    def __contains__(self, key: K) -> bool:
        return key in self._deadlines

    def set(self, key: K, at: float) -> None:
        """Due at that monotonic time; an earlier setting of the key is void."""
        self._deadlines.set(key, at)
        self._arm()

    def drop(self, key: K) -> bool:
        """Whether the key was waiting."""
        return self._deadlines.drop(key)

    def _arm(self) -> None:
        at = self._deadlines.next()
        if at is None or (self._handle is not None and self._handle_at <= at):
            return  # an alarm that comes too early looks again
        if self._handle is not None:
            self._handle.cancel()
        self._handle_at = at
        self._handle = asyncio.get_running_loop().call_later(max(0.0, at - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._handle = None
        for key in self._deadlines.take_due(time.monotonic(), BATCH_SIZE):
            try:
                self._on_due(key)
            except Exception:
                log.exception("what was due failed")
        self._arm()  # at once, where more are due
