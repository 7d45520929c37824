"""Turns: a burst of the user's messages that is answered once, and when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.core.model import Conversation, StoredMessage
from server.protocol import MessageType


@dataclass(slots=True, frozen=True)
class Turn:
    """What a responder answers: the burst, and what had been said before it. Both ascend by seq."""

    conversation: Conversation
    messages: Sequence[StoredMessage]  # the user's, at least one
    history: Sequence[StoredMessage]

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


def gather_turn(
    conversation: Conversation, newest: Sequence[StoredMessage], answered: int, history: int
) -> Turn | None:
    """The turn in a conversation's newest messages, or None when everything is answered.

    `answered`: all up to this seq is. Where no responder has answered anything yet (0), what lies before
    the AI's last message counts as answered by that.
    """
    after = answered or max((m.seq for m in newest if m.type is MessageType.AI_RESPONSE), default=0)
    messages = [m for m in newest if m.seq > after and m.type is MessageType.CHAT_MESSAGE]
    if not messages:
        return None
    before = [m for m in newest if m.seq < messages[0].seq]
    return Turn(conversation, messages, before[-history:] if history else [])
