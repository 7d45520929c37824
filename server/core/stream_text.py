"""The text of an answer that is being written: what devices have been shown, and what waits to be."""

from dataclasses import dataclass

from server.core import payloads
from server.core.outbox import Signal
from server.core.websocket_frames import text_frame
from server.protocol import MessageType


@dataclass(slots=True, frozen=True)
class Piece:
    """A part of an answer. `offset` counts the code points before it; `index` rises from piece to piece."""

    text: str
    index: int
    offset: int

    def joined(self, later: "Piece") -> "Piece":
        """Return both as one piece: the offset of the first and the index of the last."""
        return Piece(self.text + later.text, later.index, self.offset)


class StreamText:
    """Collects what is written; `take` turns what waits into the next piece. Lengths in code points."""

    __slots__ = ("_index", "_length", "_max_length", "_shown", "_shown_index", "_shown_length", "_waiting")

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._length = 0
        self._index = -1  # of the last piece that was written
        self._waiting: list[str] = []
        self._shown: list[str] = []
        self._shown_length = 0
        self._shown_index = -1

    @property
    def is_shown(self) -> bool:
        """Tell whether devices have been shown any of it."""
        return bool(self._shown)

    @property
    def is_waiting(self) -> bool:
        """Tell whether there is text that no device has been shown."""
        return bool(self._waiting)

    def write(self, text: str) -> bool:
        """Add a piece; False where the text would become too long, which keeps the part that fits."""
        fits = self._length + len(text) <= self._max_length
        if not fits:
            text = text[: self._max_length - self._length]
        if text:
            self._index += 1
            self._length += len(text)
            self._waiting.append(text)
        return fits

    def take(self) -> Piece | None:
        """Return what waits as one piece, which counts as shown from now on; None where nothing waits."""
        if not self._waiting:
            return None
        text = self._waiting[0] if len(self._waiting) == 1 else "".join(self._waiting)
        piece = Piece(text, self._index, self._shown_length)
        self._waiting = []
        self._shown.append(text)
        self._shown_length += len(text)
        self._shown_index = self._index
        return piece

    def shown(self) -> Piece | None:
        """Return all that has been shown as one piece from the beginning, for who joins in the middle."""
        if not self._shown:
            return None
        self._shown = ["".join(self._shown)]
        return Piece(self._shown[0], self._shown_index, 0)

    @property
    def text(self) -> str:
        """All that has been shown."""
        piece = self.shown()
        return piece.text if piece is not None else ""


class HeardText:
    """The text of an answer that another node writes, as far as it was heard of."""

    __slots__ = ("_index", "_length", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._index = -1

    def misses(self, piece: Piece) -> bool:
        """Tell whether there is text before this piece that was not heard."""
        return piece.offset > self._length

    def add(self, piece: Piece) -> Piece | None:
        """Take a piece before which nothing is missing; return what of it is new, None where nothing is."""
        text = piece.text[self._length - piece.offset :]
        if not text:
            return None
        news = Piece(text, max(piece.index, self._index + 1), self._length)
        self._parts.append(text)
        self._length += len(text)
        self._index = news.index
        return news

    def whole(self) -> Piece | None:
        """Return all of it as one piece from the beginning; None where there is none."""
        if not self._parts:
            return None
        self._parts = ["".join(self._parts)]
        return Piece(self._parts[0], self._index, 0)


class ChunkFrame(Signal):
    """The frame of a piece, for the devices of a conversation; a later piece of its answer absorbs it."""

    conversation_id: str
    message_id: str
    sender: str
    timestamp: str
    piece: Piece

    @classmethod
    def of(
        cls, conversation_id: str, message_id: str, sender: str, timestamp: str, piece: Piece
    ) -> "ChunkFrame":
        """Make the frame."""
        payload = payloads.chunk(
            conversation_id, message_id, sender, timestamp, piece.text, piece.index, piece.offset
        )
        frame = cls(text_frame(payload), MessageType.AI_RESPONSE_CHUNK, message_id)
        frame.conversation_id, frame.message_id = conversation_id, message_id
        frame.sender, frame.timestamp, frame.piece = sender, timestamp, piece
        return frame

    def absorb(self, older: Signal) -> "ChunkFrame":
        """Return one frame for the older piece and this one."""
        assert isinstance(older, ChunkFrame)
        piece = older.piece.joined(self.piece)
        return ChunkFrame.of(self.conversation_id, self.message_id, self.sender, self.timestamp, piece)
