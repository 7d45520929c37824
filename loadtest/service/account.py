"""What the AI service was given and what it took, kept for whoever holds it against the histories."""

import itertools
import threading
from collections import defaultdict
from typing import Any, NamedTuple

from pydantic import BaseModel, Field


class Said(NamedTuple):
    """A user's message as a turn has it."""

    seq: int
    message_id: str
    text: str


class Delivery(BaseModel):
    """One POST of a turn. What happens at the service is numbered: `arrived` and `taken` are such numbers.

    Attributes:
        attempt: The how-manieth of this turn, from 1.
        manner: How the service behaved.
        taken: When the service took the turn; None where it did not.
        answers: Texts that the service gave, or will give, as the turn's answer.
    """

    turn: str
    conversation_id: str
    messages: list[Said]
    attempt: int
    arrived: int
    manner: str = ""
    taken: int | None = None
    answers: list[str] = Field(default_factory=list)

    @property
    def last_seq(self) -> int:
        return self.messages[-1].seq


class Account:
    """All deliveries, by conversation, in the order in which they came. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._attempts: dict[str, int] = defaultdict(int)
        self._deliveries: dict[str, list[Delivery]] = defaultdict(list)

    def arrived(self, turn: str, data: dict[str, Any]) -> Delivery:
        """Note a POST; `turn`: its webhook-id, `data`: as the server sent it."""
        said = [Said(frame["seq"], frame["message_id"], frame["data"]) for frame in data["messages"]]
        with self._lock:
            self._attempts[turn] += 1
            delivery = Delivery(
                turn=turn,
                conversation_id=data["conversation_id"],
                messages=said,
                attempt=self._attempts[turn],
                arrived=next(self._numbers),
            )
            self._deliveries[delivery.conversation_id].append(delivery)
        return delivery

    def taken(self, delivery: Delivery, *answers: str) -> None:
        """Note that the service takes the turn now, and what may become its answer."""
        with self._lock:
            if delivery.taken is None:
                delivery.taken = next(self._numbers)
            delivery.answers += answers

    def of(self, conversation_id: str) -> list[Delivery]:
        """Copy what is known of a conversation."""
        with self._lock:
            return [each.model_copy(deep=True) for each in self._deliveries.get(conversation_id, ())]
