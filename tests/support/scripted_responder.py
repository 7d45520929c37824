"""A responder whose every step the test decides."""

import asyncio
from collections.abc import AsyncGenerator

from server.core.turn_rules import Turn
from server.protocol import Finish


class Script:
    """One call of the responder: the test gives pieces, ends it, or lets it fail."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.is_closed = False  # its work was ended from outside, or it is over
        self._steps: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    def write(self, piece: str) -> None:
        self._steps.put_nowait(piece)

    def end(self, finish: Finish | None = None) -> None:
        if finish is not None:
            self._steps.put_nowait(finish)
        self._steps.put_nowait(None)

    def fail(self, fault: Exception) -> None:
        self._steps.put_nowait(fault)

    @property
    def said(self) -> list[str]:
        """What the user said in the turn."""
        return [message.data for message in self.turn.messages]

    @property
    def history(self) -> list[str]:
        return [message.data for message in self.turn.history]

    async def pieces(self) -> AsyncGenerator[str | Finish, None]:
        try:
            while (step := await self._steps.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.is_closed = True


class ScriptedResponder:
    """Implements Responder."""

    def __init__(self) -> None:
        self.calls: list[Script] = []
        self._called = asyncio.Event()

    def answer(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        script = Script(turn)
        self.calls.append(script)
        self._called.set()
        return script.pieces()

    async def called(self, count: int) -> Script:
        """Wait for the call with that number, from 1."""
        while len(self.calls) < count:
            self._called.clear()
            await self._called.wait()
        return self.calls[count - 1]

    async def close(self) -> None: ...
