"""AIs that come and go as people do: online while they talk, then away, then offline."""

import random
import time
from typing import Final

from server.runtime.base.timers import Timers
from server.runtime.signals.ai_status import AIStatus, AIStatuses

Range = tuple[float, float]  # seconds, shortest and longest

_AWAY_AFTER: Final[Range] = (120.0, 360.0)  # without a word
_OFFLINE_AFTER: Final[Range] = (600.0, 1800.0)  # of being away


class SimulatedStatus:
    """Used where `ai.simulate_status` is on."""

    def __init__(
        self, statuses: AIStatuses, away_after: Range = _AWAY_AFTER, offline_after: Range = _OFFLINE_AFTER
    ) -> None:
        self._statuses = statuses
        self._away_after = away_after
        self._offline_after = offline_after
        self._next: Timers[str] = Timers(self._withdraw)

    def active(self, ai_id: str) -> None:
        """The AI types or speaks: it is here."""
        self._change(ai_id, "online")
        self._withdraw_after(ai_id, self._away_after)

    def _withdraw(self, ai_id: str) -> None:
        if self._statuses.of(ai_id) == "online":
            self._change(ai_id, "away")
            self._withdraw_after(ai_id, self._offline_after)
        else:
            self._change(ai_id, "offline")

    def _withdraw_after(self, ai_id: str, seconds: Range) -> None:
        self._next.set(ai_id, time.monotonic() + random.uniform(*seconds))

    def _change(self, ai_id: str, status: AIStatus) -> None:
        if self._statuses.of(ai_id) != status:
            self._statuses.set(ai_id, status)
