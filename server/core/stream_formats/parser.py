"""Reads a whole stream: what of it is to be shown, and how it ended."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from server.core.model import Refused
from server.core.stream_formats.faults import StreamFault, upstream_error
from server.core.stream_formats.readers import NdjsonReader, Reader, SseReader, TextReader
from server.core.stream_formats.shapes import Piece
from server.core.stream_formats.visible import Visible
from server.protocol import Finish

# The reasons that providers give, in lower case with underscores. All others say nothing of the text.
_FINISHES: Final = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "max_output_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "refusal": Finish.CONTENT_FILTER,
}
_READERS: Final[Mapping[str, Callable[[], Reader]]] = {
    "text": TextReader,
    "sse": SseReader,
    "ndjson": NdjsonReader,
}
_FORMATS: Final = {"text/plain": "text", "text/event-stream": "sse", "application/x-ndjson": "ndjson"}


class StreamParser:
    """Turns the bytes of one stream into text. Feed it until `is_over`, then close it.

    The same bytes give the same text however they are cut. After each `feed` look at `fault`: the text that
    came before it is returned as ever. Without one, the stream ends with the body; call `close` then.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._visible = Visible()
        self.fault: Refused | None = None  # why it broke off: upstream_error, validation_failed, too_large
        self.reason: str | None = None  # why the model ended, in its provider's word
        self.finish: Finish | None = None  # why the text is not whole, where the stream says that
        self.is_done = False  # [DONE] has come
        self.tokens = 0  # pieces that the model has made so far, thoughts among them

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is read: the stream said that it ended, or broke off."""
        return self.is_done or self.fault is not None

    def feed(self, data: bytes) -> str:
        """Return the visible text that `data` completes; "" where there is none, or once it is over."""
        return self._read(self._reader.feed(data))

    def close(self) -> str:
        """Return the rest of the text, where the body ended regularly."""
        return self._read(self._reader.close()) + ("" if self.fault else self.stop())

    def stop(self) -> str:
        """Return the rest of the text that was read, for who reads no further."""
        return self._visible.close()

    def _read(self, pieces: Iterator[Piece]) -> str:
        shown = []
        try:
            while not self.is_over and (piece := next(pieces, None)) is not None:
                shown.append(self._visible.feed(piece.text))
                self._note(piece)
        except StreamFault as fault:
            self.fault = fault.why
        return "".join(shown)

    def _note(self, piece: Piece) -> None:
        self.is_done = piece.is_last
        self.tokens += bool(piece.text or piece.is_thought)
        if piece.reason is not None:
            self.reason = piece.reason.lower().replace("-", "_")
        finish = Finish.CONTENT_FILTER if piece.is_refusal else _FINISHES.get(self.reason or "")
        self.finish = self.finish or finish  # nothing takes back that the text is not whole
        if self.reason == "error":
            raise upstream_error("finish reason error")


def make_parser(content_type: str | None, format: str | None = None) -> StreamParser | None:
    """Make the parser for a body; `format`, where given, counts before its Content-Type.

    None where neither names a format that is known.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    reader = _READERS.get(format or _FORMATS.get(media_type, ""))
    return None if reader is None else StreamParser(reader())


def chat_completion_parser() -> StreamParser:
    """Make the parser for an OpenAI-compatible API's chunks, among which plain text has no place."""
    return StreamParser(SseReader(is_json=True))
