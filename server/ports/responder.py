"""Names who writes the AI's answers."""

from collections.abc import AsyncIterator
from typing import Protocol

from server.core.turn_rules import Turn


class ResponderFailed(Exception):
    """No answer could be made; the turn is tried again later."""


class Responder(Protocol):
    """Who writes the AI's answers."""

    def answer(self, turn: Turn) -> AsyncIterator[str]:
        """The answer's text in pieces; no pieces: it comes another way, or not at all.

        Called for several conversations at a time, and again for the same turn after a fault or a
        crash. May be cancelled at any await. Raises ResponderFailed.
        """
        ...

    async def close(self) -> None: ...
