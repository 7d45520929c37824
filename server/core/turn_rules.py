"""Turns: a burst of the user's messages that is answered once, and when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.core.model import Conversation, StoredMessage


@dataclass(slots=True, frozen=True)
class Turn:
    """What a responder answers: the burst, and what had been said before it. Both ascend by seq."""

    conversation: Conversation
    messages: Sequence[StoredMessage]  # the user's, at least one
    history: Sequence[StoredMessage]
    is_replayed: bool = False  # it had been given up, and is sent again out of its order

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


@dataclass(slots=True)
class OpenTurn:
    """A turn that may still grow. Monotonic seconds."""

    began: float
    quiet_since: float | None  # None while the user types

    def ends_at(self, wait: float, max_wait: float) -> float:
        """When the user has neither sent nor typed for `wait`; `max_wait` after it began at the latest."""
        latest = self.began + max_wait
        return latest if self.quiet_since is None else min(self.quiet_since + wait, latest)
