"""The port of whoever writes the AI's answers."""

from collections.abc import AsyncGenerator
from typing import Protocol

from server.core.retrying import FailureKind
from server.core.turn_rules import Turn
from server.protocol import Finish


class ResponderFailed(Exception):
    """No whole answer could be made; the turn is tried again, see `core.retrying.Backoff`.

    `retry_after`: seconds that the service asked to be left alone for. What is of the kind REFUSED is to
    be told at once, and tried again slowly.
    """

    def __init__(self, text: str, kind: FailureKind, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after


class Responder(Protocol):
    """Who writes the AI's answers."""

    def answer(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Yield the answer's visible text in pieces, none of them empty; no pieces: it comes another way.

        A Finish (ask for it first, it is a str too) comes last, where the text is not whole. Called for
        several conversations at a time, and again for the same turn after a fault or a crash. May be
        cancelled at any await, or closed (`aclose`) between two pieces: what it holds open is closed at
        once. Raises ResponderFailed, maybe after some pieces.
        """
        ...

    async def close(self) -> None: ...
