"""What is owed: answers to users, and news of messages that no device has seen."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from server.core.model import StoredMessage


@dataclass(slots=True, frozen=True)
class OwedTurn:
    """A conversation that waits for its responder. Times in milliseconds since the epoch.

    `last_seq` is None until the first try fixes where the turn ends; what comes later is the next turn.
    """

    conversation_key: int
    conversation_id: str
    first_seq: int  # the oldest CHAT_MESSAGE that is owed an answer
    since: int  # its stamp
    last_seq: int | None = None
    attempts: int = 0
    next_at: int = 0  # not to be tried before
    last_error: str = ""

    def failed(self, attempts: int, next_at: int, error: str) -> "OwedTurn":
        """Return the turn after so many tries, with the time of the next one."""
        return replace(self, attempts=attempts, next_at=next_at, last_error=error)


class TurnMessages(NamedTuple):
    """What a responder is given. Both ascend by seq."""

    messages: list[StoredMessage]  # the user's, at least one
    history: list[StoredMessage]  # what is not of this turn, and not of a later one


class Backlog(NamedTuple):
    """How much is owed. `since`: the stamp of the oldest unanswered message, in ms; None without one."""

    turns: int
    since: int | None
    dead_letters: int


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """A turn that was given up. `id` names it in the store; `failed_at` in ms since the epoch."""

    id: int
    conversation_key: int
    conversation_id: str
    first_seq: int
    last_seq: int
    attempts: int
    last_error: str
    failed_at: int


class Pause(NamedTuple):
    """Deliveries are stopped until an operator resumes them. `since` in ms since the epoch."""

    since: int
    reason: str


@dataclass(slots=True, frozen=True)
class Undelivered:
    """An AI's message that was saved while no device of the user was connected."""

    conversation_key: int
    conversation_id: str
    message: StoredMessage
