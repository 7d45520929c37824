"""One write per device and turn of the event loop, with all that the turn brought for it."""

import asyncio
from typing import Final, Protocol

# Writes between which nobody else has a turn: a system call each, so a few milliseconds in all.
_WRITES_PER_TURN: Final = 500


class Flushable(Protocol):
    """A connection, as the Flusher sees it."""

    def flush(self) -> None:
        """Write what was offered since the last flush."""

    def fail(self) -> None:
        """End the connection while an exception of its own is being handled."""


class Flusher:
    """Writes what was offered during one turn of the event loop.

    While connections are marked, a flush is scheduled, or owed by whoever called `hold`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._marked: list[Flushable] = []
        self._answered: list[Flushable] = []  # some of them
        self._is_held = False

    def hold(self) -> None:
        """Schedule nothing: the caller will `flush` in this turn, which spares the loop a turn."""
        self._is_held = True

    def mark(self, connection: Flushable) -> None:
        """Note a connection that was offered its first frame of this turn."""
        if not self._marked and not self._is_held:
            self._loop.call_soon(self.flush)
        self._marked.append(connection)

    def hasten(self, connection: Flushable) -> None:
        """Flush this connection before the others: its client waits for an ACK."""
        self._answered.append(connection)

    def flush(self) -> None:
        """Write to every marked connection; more than a turn's worth is left to the next turn."""
        marked = self._answered + self._marked
        self._marked, self._answered, self._is_held = [], [], False
        if len(marked) > _WRITES_PER_TURN:
            marked, self._marked = marked[:_WRITES_PER_TURN], marked[_WRITES_PER_TURN:]
            self._loop.call_soon(self.flush)
        for connection in marked:
            try:
                connection.flush()
            except Exception:
                connection.fail()
