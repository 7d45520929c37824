"""WebSocket framing of what the server says: one unmasked, whole text frame per message (RFC 6455, 5.2).

A frame is made once and written to every device, so the outbox and the socket port deal in whole frames.
"""

from collections.abc import Iterator
from typing import Final

_FIN_TEXT: Final = 0x81
_FIN_CLOSE: Final = 0x88
MAX_CLOSE_REASON: Final = 123  # bytes: a control frame holds 125, the code takes 2


def text_frame(payload: bytes) -> bytes:
    """The payload with a frame header before it."""
    size = len(payload)
    return (_HEADERS[size] if size < len(_HEADERS) else _header(size)) + payload


def _header(size: int) -> bytes:
    if size < 126:
        return bytes((_FIN_TEXT, size))
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


_HEADERS: Final = tuple(_header(size) for size in range(1024))  # of nearly all messages


def payloads_of(frames: bytes) -> Iterator[bytes]:
    """The payloads of frames made by `text_frame`, one behind the other."""
    position = 0
    while position < len(frames):
        size, start = frames[position + 1], position + 2
        if size > 125:
            extended = 2 if size == 126 else 8
            size, start = int.from_bytes(frames[start : start + extended], "big"), start + extended
        position = start + size
        yield frames[start:position]


def close_frame(code: int, reason: str) -> bytes:
    """A close frame; the reason is cut at a character's end to fit."""
    text = reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore").encode()
    return bytes((_FIN_CLOSE, 2 + len(text))) + code.to_bytes(2, "big") + text
