"""Whether and when to connect again."""

from dataclasses import dataclass
from http import HTTPStatus

from server.protocol import ABNORMAL_CLOSURE, CloseCode


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter. Times in seconds; `max_attempts` None means to try for ever."""

    base: float = 0.5
    cap: float = 30.0
    full_server: float = 5.0
    max_attempts: int | None = None

    def allows(self, attempt: int) -> bool:
        """Whether the `attempt`th try in a row (from 1) may be made."""
        return self.max_attempts is None or attempt <= self.max_attempts

    def delay(self, attempt: int, code: int, reconnect_after: float | None, fraction: float) -> float:
        """Seconds until the `attempt`th try (from 1).

        `fraction` is random, from 0 to 1; `reconnect_after` what the server asked for when it shut down.
        """
        if code == CloseCode.TRY_AGAIN_LATER:
            spread = self._ceiling(self.full_server, attempt, self.cap - self.full_server)
            return self.full_server + fraction * spread
        return (reconnect_after or 0.0) + fraction * self._ceiling(self.base, attempt, self.cap)

    @staticmethod
    def _ceiling(base: float, attempt: int, cap: float) -> float:
        doublings = min(attempt - 1, 32)  # far beyond any cap, and no float overflows
        return float(min(cap, base * 2**doublings))


def close_code_of_refusal(status: int) -> int:
    """The close code that a handshake refused with this HTTP status amounts to."""
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        return CloseCode.TRY_AGAIN_LATER
    return CloseCode.POLICY_VIOLATION if status < HTTPStatus.INTERNAL_SERVER_ERROR else ABNORMAL_CLOSURE
