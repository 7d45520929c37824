"""Takes the pieces out of a stream's bytes: one reader for each format."""

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final, Protocol

from server.core.stream_formats.faults import malformed, upstream_error
from server.core.stream_formats.lines import Lines
from server.core.stream_formats.shapes import NOTHING, Piece, read_object
from server.core.stream_formats.sse import MAX_EVENT_BYTES, Event, Events

_DONE: Final = "[DONE]"
_LAST: Final = Piece(is_last=True)


class Reader(Protocol):
    """Both methods raise StreamFault, behind the pieces that came before the fault."""

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield the pieces that `data` completes."""
        ...

    def close(self) -> Iterator[Piece]:
        """Yield what is left at the regular end of the stream."""
        ...


class TextReader:
    """Reads text/plain: the text itself."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> Iterator[Piece]:
        yield Piece(self._decoder.decode(data))

    def close(self) -> Iterator[Piece]:
        yield Piece(self._decoder.decode(b"", final=True))


class SseReader:
    """Reads text/event-stream.

    An event of a known shape brings what that shape has. Any other is plain text until the stream has
    proved to be JSON, by an object before all text or by a known shape; from then on it counts for nothing.
    """

    def __init__(self, is_json: bool = False) -> None:
        self._events = Events()
        self._is_json = is_json
        self._is_plain = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        yield from map(self._read, self._events.feed(data))

    def close(self) -> Iterator[Piece]:
        yield from map(self._read, self._events.close())

    def _read(self, event: Event) -> Piece:
        if event.name == "error":
            raise upstream_error(_object(event.data) or event.data)
        if event.data.strip() == _DONE:
            return _LAST
        fields = _object(event.data)
        if fields is None:
            return self._read_text(event.data)
        piece = read_object(fields)
        if piece is None and self._is_plain:
            return Piece(event.data)
        self._is_json, self._is_plain = True, False
        return piece or NOTHING

    def _read_text(self, text: str) -> Piece:
        if not self._is_json:
            self._is_plain = self._is_plain or bool(text)
            return Piece(text)
        if text.lstrip().startswith("{"):
            raise malformed("an event of the stream is cut off or no JSON")
        return NOTHING


class NdjsonReader:
    """Reads application/x-ndjson: an object a line."""

    def __init__(self) -> None:
        self._lines = Lines(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> Iterator[Piece]:
        yield from map(self._read, self._lines.feed(data))

    def close(self) -> Iterator[Piece]:
        yield from map(self._read, self._lines.close())

    def _read(self, line: bytes) -> Piece:
        text = line.decode("utf-8", "replace").strip()
        if not text or text.startswith(":"):  # a comment, by which some servers keep connections open
            return NOTHING
        if text == _DONE:
            return _LAST
        fields = _object(text)
        if fields is None:
            raise malformed("a line of the stream is no JSON object")
        return read_object(fields) or NOTHING


def _object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object; None where the text is anything else."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
