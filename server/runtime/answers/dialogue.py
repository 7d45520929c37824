"""A conversation with something to answer, as this process sees it."""

import asyncio
import time
from dataclasses import dataclass

from server.core.owed import OwedTurn
from server.core.turn_rules import OpenTurn
from server.protocol import answer_id
from server.runtime.answers.attempt import Attempt
from server.runtime.answers.gate import Slot, Ticket
from server.runtime.rooms.room import Room


@dataclass(slots=True, eq=False)
class Dialogue:
    """A room with something to answer. Exactly one of: its turn is awaited, or `answering` runs."""

    room: Room
    turn: OpenTurn | None = None
    answering: "asyncio.Task[None] | None" = None
    attempt: Attempt | None = None
    ticket: Ticket | None = None  # while it waits for the service
    slot: Slot | None = None  # of the newest call
    newest: int = 0  # the seq of the user's newest message that was heard of
    failures: int = 0  # of this turn
    faults: int = 0  # those among them that were the turn's own
    is_told: bool = False  # the devices know that the answer takes longer
    retracted: int = 0  # answers to this turn that were shown and taken back
    dismissed: int = 0  # the user wants no answer up to this seq
    owed: OwedTurn | None = None  # as the store has it, where it was tried before

    def begin_anew(self) -> None:
        """Forget the turn that is over."""
        self.failures = self.faults = 0
        self.is_told, self.owed = False, None

    def answer_id(self, seq: int) -> str:
        """Name the answer to a turn; after text was shown and taken back another name."""
        return answer_id(seq, self.retracted + 1)


def new_turn() -> OpenTurn:
    """Begin a turn now."""
    now = time.monotonic()
    return OpenTurn(now, now)
