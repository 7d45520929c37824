"""Cuts bytes that come in pieces of any size into lines."""

from collections.abc import Iterator

from server.core.stream_formats.faults import too_long


class Lines:
    """Splits at LF, CR and CRLF. A line may have `limit` bytes, its end not counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._ended_with_cr = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, without their ends. Raises StreamFault."""
        if not data:
            return
        if self._ended_with_cr:
            data = data.removeprefix(b"\n")  # the second half of a CRLF that was cut in two
        self._ended_with_cr = data.endswith(b"\r")
        # Of bytes, unlike of str, splitlines knows these three ends alone: U+2028 and its like stay text.
        for line in data.splitlines(keepends=True):
            body = line.rstrip(b"\r\n")
            self._rest += body
            if len(self._rest) > self._limit:
                raise too_long("a line of the stream", self._limit)
            if len(body) < len(line):
                yield self._take()

    def close(self) -> Iterator[bytes]:
        """Yield what stands behind the last line's end, if anything does."""
        if self._rest:
            yield self._take()

    def _take(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line
