"""Cuts a text/event-stream into its events."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from server.core.stream_formats.faults import too_long
from server.core.stream_formats.lines import Lines

MAX_EVENT_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = MAX_EVENT_BYTES + len("data: ")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """`name` is "" where the stream gives none; `data` are its lines, joined by newlines."""

    name: str
    data: str


class Events:
    """Keeps the fields of the event that is being read. Comments, ids and retry times count for nothing."""

    def __init__(self) -> None:
        self._lines = Lines(_MAX_LINE_BYTES)
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0
        self._is_first_line = True

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes. Raises StreamFault."""
        for line in self._lines.feed(data):
            yield from self._read_line(line)

    def close(self) -> Iterator[Event]:
        """Yield the last event where its blank line is missing: some servers leave it out."""
        for line in self._lines.close():
            yield from self._read_line(line)
        yield from self._end_event()

    def _read_line(self, line: bytes) -> Iterator[Event]:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            yield from self._end_event()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._add(value)
        elif field == b"event":
            self._name = value
        elif field == b"error":  # no field of the standard: how llama.cpp told of errors until 2025
            yield Event("error", _text(value))

    def _add(self, value: bytes) -> None:
        self._size += len(value) + bool(self._data)
        if self._size > MAX_EVENT_BYTES:
            raise too_long("an event of the stream", MAX_EVENT_BYTES)
        self._data.append(value)

    def _end_event(self) -> Iterator[Event]:
        if self._data:
            yield Event(_text(self._name), _text(b"\n".join(self._data)))
        self._name, self._data, self._size = b"", [], 0


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
