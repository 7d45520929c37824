"""One try to answer a turn: the responder's pieces become a stream, after a while of typing."""

import asyncio
import contextlib
from contextlib import aclosing
from enum import Enum, auto
from typing import Final

from server.core.model import FRAME_FAILED, Refused
from server.core.turn_rules import Turn
from server.ports import Responder, StoreUnavailable
from server.protocol import ErrorCode, Finish
from server.runtime.answers.gate import Slot
from server.runtime.answers.streams import Ended, Stream

_INTERRUPTED: Final = Refused(ErrorCode.CONFLICT, "the user said more before the answer was finished")


class Verdict(Enum):
    """What became of a try that did not fail."""

    ANSWERED = auto()  # an answer is saved, by this try or by somebody else
    ELSEWHERE = auto()  # the responder gave no piece: the answer comes another way
    CANCELLED = auto()  # before anything was shown: the turn counts as answered
    TAKEN_BACK = auto()  # interrupted, and nothing is kept: the messages are still to be answered


class Attempt:
    """Writes one answer into a stream that was opened for it; await `run` once.

    `typing_ends`: nothing is shown before that time of the loop's clock, though the model works meanwhile.
    `slot`: of the call, where the responder is a service whose calls are counted.
    """

    def __init__(
        self, stream: Stream, responder: Responder, turn: Turn, typing_ends: float, slot: Slot | None = None
    ) -> None:
        self._stream = stream
        self._responder = responder
        self._turn = turn
        self._typing_ends = typing_ends
        self._slot = slot
        self._has_pieces = False
        self._is_interrupted = False
        self._failure: Exception | None = None

    def interrupt(self, keeps_shown: bool) -> None:
        """Stop for a new message of the user; what was shown is saved, or taken back."""
        if self._stream.is_open:
            self._is_interrupted = True
            if keeps_shown:
                self._stream.cancel()
            else:
                self._stream.abort(_INTERRUPTED)

    async def run(self) -> Verdict:
        """Write the answer and wait for what becomes of it.

        Raises ResponderFailed, StoreUnavailable, or a fault of the responder's code; nothing is saved then.
        """
        writing = asyncio.create_task(self._write())
        try:
            ended = await asyncio.shield(self._stream.ended)
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
            self._stream.abort(FRAME_FAILED)  # where the caller itself is cancelled
        if self._failure is not None:
            raise self._failure
        return self._judge(ended)

    def _judge(self, ended: Ended | Refused) -> Verdict:
        if isinstance(ended, Ended):
            if ended.spoken is not None:
                return Verdict.ANSWERED
            return Verdict.TAKEN_BACK if self._is_interrupted else Verdict.CANCELLED
        if self._is_interrupted:
            return Verdict.TAKEN_BACK
        if ended.code is ErrorCode.EMPTY_MESSAGE and not self._has_pieces:
            return Verdict.ELSEWHERE
        if ended.code is ErrorCode.MESSAGE_ID_CONFLICT:
            return Verdict.ANSWERED
        raise StoreUnavailable(ended.text)

    async def _write(self) -> None:
        try:
            finish = await self._show_pieces()
        except Exception as fault:
            self._failure = fault
            self._stream.abort(FRAME_FAILED)
        else:
            self._stream.end(finish)

    async def _show_pieces(self) -> Finish | None:
        async with aclosing(self._responder.answer(self._turn)) as pieces:
            piece = await anext(pieces, None)
            self._note_call(piece is None)
            if isinstance(piece, str) and not isinstance(piece, Finish):
                self._has_pieces = True
                following = asyncio.ensure_future(anext(pieces, None))  # the model works while the AI types
                following.add_done_callback(self._note_following)
                try:
                    await asyncio.sleep(self._typing_ends - asyncio.get_running_loop().time())
                    if not self._stream.write(piece):
                        return Finish.LENGTH
                    piece = await following
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
            while piece is not None and not isinstance(piece, Finish):
                if not self._stream.write(piece):
                    return Finish.LENGTH
                piece = await anext(pieces, None)
            return piece

    def _note_following(self, following: "asyncio.Future[str | Finish | None]") -> None:
        if not following.cancelled() and following.exception() is None and following.result() is None:
            self._note_call(is_over=True)

    def _note_call(self, is_over: bool) -> None:
        """The service has answered; its next call need not wait until that is shown and saved."""
        if self._slot is not None:
            self._slot.answered()
            if is_over:
                self._slot.over()
