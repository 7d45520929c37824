"""Answers that are written piece by piece: shown to the devices as they come, saved as one message."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from server.core.inbound import EMPTY_MESSAGE
from server.core.model import CONVERSATION_GONE, FRAME_FAILED, Refused
from server.core.stream_text import ChunkFrame, Piece, StreamText
from server.protocol import Finish, MessageType
from server.runtime.answers.ai_speech import AISpeech, Spoken
from server.runtime.base.background import Background
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room
from server.runtime.signals.typing import TypingRelay

ABORTED: Final = {"aborted": True}
"""Data of the chunk that takes an answer back."""


class Ended(NamedTuple):
    """What became of a stream. `spoken` is None where it was cancelled before it had shown anything."""

    spoken: Spoken | None
    finish: Finish | None


class StreamState(Enum):
    """One call decides the end: only an open stream can be ended, cancelled or aborted."""

    OPEN = auto()
    CLOSING = auto()  # its text is being saved
    DONE = auto()


class Stream:
    """One answer that is being written.

    Its writer calls `write` for each piece and then `end` or `abort`; anybody may `cancel`. The first of
    these three decides and returns True, the others change nothing and return False. Await `ended` for
    the result.
    """

    def __init__(
        self,
        streams: "Streams",
        room: Room,
        message_id: str,
        text: StreamText,
        answers: int | None,
        keeps_part: bool,
    ) -> None:
        self.room = room
        self.message_id = message_id
        self.answers = answers  # the seq of the last message of the turn that it answers
        self.ended: asyncio.Future[Ended | Refused] = asyncio.get_running_loop().create_future()
        self._streams = streams
        self._keeps_part = keeps_part
        self._text = text
        self._state = StreamState.OPEN
        self._timer: asyncio.TimerHandle | None = None
        self._is_silent = False

    @property
    def is_open(self) -> bool:
        """Tell whether more can be written."""
        return self._state is StreamState.OPEN

    @property
    def is_shown(self) -> bool:
        """Tell whether devices have been shown any of it."""
        return self._text.is_shown

    @property
    def text(self) -> str:
        """The text that devices have been shown."""
        return self._text.text

    def write(self, text: str) -> bool:
        """Show a piece; the first one at once, later ones within the roll-up.

        Returns False where no more is taken: it is over, or the text would become longer than it may be
        (then what fits is kept, and the stream is still open).
        """
        if self._state is not StreamState.OPEN:
            return False
        if self.room.is_deleted:
            self.abort(CONVERSATION_GONE)
            return False
        fits = self._text.write(text)
        if self._timer is None and self._text.is_waiting:
            self._show_soon()
        return fits

    def end(self, finish: Finish | None = None) -> bool:
        """Save what was written; `finish` says why it is not whole. Without any text it is aborted."""
        if self._state is not StreamState.OPEN:
            return False
        self._show()
        if not self._text.is_shown:
            return self.abort(EMPTY_MESSAGE)
        self._save(finish)
        return True

    def cancel(self) -> bool:
        """Stop it: what devices have been shown is saved, and what they have not is dropped."""
        if self._state is not StreamState.OPEN:
            return False
        if self._text.is_shown:
            self._save(Finish.CANCELLED)
        else:
            self._finish(Ended(None, Finish.CANCELLED), is_aborted=True)
        return True

    def break_off(self, why: Refused) -> bool:
        """End it before its end: the part is saved where its writer wanted that, else taken back."""
        if self._keeps_part and (self._text.is_shown or self._text.is_waiting):
            return self.end(Finish.INCOMPLETE)
        return self.abort(why)

    def abort(self, why: Refused) -> bool:
        """Take it back: nothing is saved, and devices forget what they have been shown."""
        if self._state is not StreamState.OPEN:
            return False
        self._finish(why, is_aborted=self._text.is_shown)
        return True

    def shown(self) -> Piece | None:
        """Return all that devices have been shown as one piece."""
        return None if self._is_silent else self._text.shown()

    def fall_silent(self) -> None:
        """Show no more, and have the devices forget what they were shown: the whole comes from elsewhere.

        It may be written on; where nothing came after all, its end is saved and shown.
        """
        if self._state is StreamState.OPEN and not self._is_silent:
            self._is_silent = True
            if self._text.is_shown:
                self._streams.tell_aborted(self.room, self.message_id)

    def _show_soon(self) -> None:
        rollup = self._streams.rollup
        if rollup and self._text.is_shown:
            self._timer = asyncio.get_running_loop().call_later(rollup, self._show)
        else:
            self._show()

    def _show(self) -> None:
        self._stop_timer()
        if not self._text.is_shown and self._text.is_waiting:
            self._streams.begins(self)
        piece = self._text.take()
        if piece is not None and not self._is_silent:
            self._streams.show(self, piece)

    def _save(self, finish: Finish | None) -> None:
        self._state = StreamState.CLOSING
        self._stop_timer()
        self._streams.save(self, finish)

    def saved(self, result: Ended | Refused) -> None:
        """Take the outcome of the save; devices forget the text where another one, or none, was saved."""
        is_other = isinstance(result, Refused) or (result.spoken is not None and result.spoken.duplicate)
        self._finish(result, is_aborted=is_other)

    def _finish(self, result: Ended | Refused, is_aborted: bool) -> None:
        self._state = StreamState.DONE
        self._stop_timer()
        self._streams.over(self, is_aborted and not self._is_silent)
        self.ended.set_result(result)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(slots=True, frozen=True)
class StreamConfig:
    """`rollup`: seconds for which later pieces may be joined. `max_length`: of an answer, in code points."""

    rollup: float = 0.04
    max_length: int = 32_000


class Streams:
    """Owns the streams of this node."""

    def __init__(
        self,
        manager: ConnectionManager,
        replies: Replies,
        fan_out: FanOut,
        typing: TypingRelay,
        speech: AISpeech,
        background: Background,
        config: StreamConfig,
    ) -> None:
        self.rollup = config.rollup
        self._manager = manager
        self._replies = replies
        self._fan_out = fan_out
        self._typing = typing
        self._speech = speech
        self._background = background
        self._max_length = config.max_length
        self._open: dict[Room, dict[str, Stream]] = {}
        manager.when_watching(self._catch_up)

    def open(
        self,
        room: Room,
        message_id: str,
        answers: int | None = None,
        keeps_part: bool = False,
    ) -> Stream | None:
        """Begin an answer in a held room; None while one is being written under that id.

        `answers`: the seq of the last message of the turn that it answers, if any. `keeps_part`: what was
        written is saved when the writing breaks off.
        """
        written = self._open.setdefault(room, {})
        if message_id in written:
            return None
        self._manager.hold(room.conversation_id)
        text = StreamText(self._max_length)
        stream = Stream(self, room, message_id, text, answers, keeps_part)
        written[message_id] = stream
        return stream

    def cancel(self, room: Room, message_id: str | None) -> bool:
        """Stop the answer with that id, or all that are being written in the room; False where none is."""
        found = [
            stream
            for stream in self._open.get(room, {}).values()
            if message_id is None or stream.message_id == message_id
        ]
        return sum(stream.cancel() for stream in found) > 0

    def silence(self, room: Room, message_id: str) -> None:
        """Make way for a whole answer under this id: one that is being written shows no more."""
        stream = self._open.get(room, {}).get(message_id)
        if stream is not None:
            stream.fall_silent()

    def answered(self, room: Room) -> list[int]:
        """List the turns, by their last seqs, that will have an answer in whatever way their stream ends."""
        written = self._open.get(room, {}).values()
        return [stream.answers for stream in written if stream.answers is not None and stream.is_shown]

    @property
    def count(self) -> int:
        """Answers that are being written."""
        return sum(len(written) for written in self._open.values())

    async def finished(self) -> None:
        """Wait until no answer is being written."""
        while streams := self._all():
            await asyncio.wait([stream.ended for stream in streams])

    def break_off_all(self, why: Refused) -> None:
        """End every answer before its end."""
        for stream in self._all():
            stream.break_off(why)

    def _all(self) -> list[Stream]:
        return [stream for written in self._open.values() for stream in written.values()]

    def begins(self, stream: Stream) -> None:
        """Make way for a stream's first piece: the AI types no longer."""
        self._typing.stop_ai(stream.room)

    def show(self, stream: Stream, piece: Piece) -> None:
        """Offer a piece to the devices that have caught up once; the others get all of it when they do."""
        self._fan_out.offer(stream.room.watching, self._frame(stream, piece))

    def save(self, stream: Stream, finish: Finish | None) -> None:
        """Save what was shown; `Stream.saved` learns the outcome."""
        self._background.run(self._save(stream, finish), "save-stream")

    def over(self, stream: Stream, is_aborted: bool) -> None:
        """Forget a stream; where it was aborted the devices forget it too."""
        room = stream.room
        written = self._open[room]
        del written[stream.message_id]
        if not written:
            del self._open[room]
        if is_aborted:
            self.tell_aborted(room, stream.message_id)
        self._manager.release(room)

    def tell_aborted(self, room: Room, message_id: str) -> None:
        """Have the devices forget an answer: nothing will be saved under that id."""
        self._typing.stop_ai(room)
        chunk = MessageType.AI_RESPONSE_CHUNK
        self._fan_out.signal(room, chunk, ABORTED, room.ai_id, message_id=message_id)

    async def _save(self, stream: Stream, finish: Finish | None) -> None:
        result: Ended | Refused = FRAME_FAILED
        try:
            spoken = await self._speech.say_surely(
                stream.room, stream.message_id, stream.text, finish, stream.answers
            )
            result = spoken if isinstance(spoken, Refused) else Ended(spoken, finish)
        finally:
            stream.saved(result)

    def _catch_up(self, connection: Connection) -> None:
        """Give a device that goes live all that was shown so far of each answer; live pieces follow on it."""
        for stream in self._open.get(connection.room, {}).values():
            piece = stream.shown()
            if piece is not None:
                connection.offer(self._frame(stream, piece))

    def _frame(self, stream: Stream, piece: Piece) -> ChunkFrame:
        room = stream.room
        return ChunkFrame.of(
            room.conversation_id, stream.message_id, room.ai_id, self._replies.stamp(), piece
        )
