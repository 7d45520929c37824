"""WebSocket frames in (RFC 6455), without I/O: bytes to whole messages, with every guard a server needs."""

import codecs
from typing import Final

from websockets.speedups import apply_mask

from server.protocol import CloseCode

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_CONTINUATION: Final = 0
_WHOLE_TEXT: Final = 0x80 | TEXT

# A proxy may cut a message into pieces of a network packet, not of a byte: floods of (empty)
# fragments end here.
MAX_FRAGMENTS: Final = 1024
# Frames taken before other connections get their turn: some 2 ms of the event loop's time if each is refused.
MAX_FRAMES_PER_TURN: Final = 64
_MAX_CONTROL_PAYLOAD: Final = 125
_WIRE_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_NOT_UTF8: Final = "a text is not valid UTF-8"
_new_decoder: Final = codecs.getincrementaldecoder("utf-8")

Message = tuple[int, bytes]  # opcode and payload; of CLOSE the payload as it came


class ProtocolFault(Exception):
    """The peer broke the protocol; the connection is to be closed with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameParser:
    """Keeps what there is of a frame, and of a fragmented message, between two reads."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_fault",
        "_fragments",
        "_fragments_size",
        "_max_size",
        "_need",
        "_opcode",
        "has_more",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size  # bytes in a message
        self._buffer: bytes | bytearray = b""
        self._need = 2  # bytes in the buffer below which it holds no whole frame
        # Whether `feed(b"")` would go on: the last call took its turn's share, or met a fault behind it.
        self.has_more = False
        self._fault: ProtocolFault | None = None  # met behind messages that were returned first
        self._opcode = 0  # of the fragmented message
        self._fragments: list[bytes] | None = None
        self._fragments_size = 0
        self._decoder: codecs.IncrementalDecoder | None = None  # of a fragmented text

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete, at most MAX_FRAMES_PER_TURN.

        Texts are checked to be UTF-8. Raises ProtocolFault, but never before the messages that
        came ahead of the fault were returned: the next call raises it then.
        """
        if self._buffer:
            data = self._keep(data)
            if not data:
                return []
        messages: list[Message] = []
        position = 0
        try:
            self._need = 2
            for _ in range(MAX_FRAMES_PER_TURN):
                if position == len(data):
                    break
                end = self._take_frame(data, position, messages)
                if not end:
                    break
                position = end
        except ProtocolFault as fault:
            if not messages:
                raise
            self._fault, self._need = fault, 0
        self._buffer = data[position:]
        self.has_more = len(self._buffer) >= self._need
        return messages

    def _keep(self, data: bytes) -> bytes:
        """Adds to the buffer, in place; returns all of it once it holds a whole frame."""
        if self._fault is not None:
            raise self._fault
        if data:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        return b"" if len(self._buffer) < self._need else bytes(self._buffer)

    def _take_frame(self, data: bytes, start: int, messages: list[Message]) -> int:
        """Handles the frame at `start`; where it ends, or 0 when it is not all there yet."""
        available = len(data) - start
        if available < 2:
            self._need = 2
            return 0
        first, second = data[start], data[start + 1]
        length, head = second & 127, 6  # with the mask's four bytes
        if length > 125:
            head = 8 if length == 126 else 14
            if available < head:
                self._need = head
                self._check_frame(first, second, 0)
                return 0
            length = int.from_bytes(data[start + 2 : start + head - 4], "big")
        is_usual = (
            first == _WHOLE_TEXT and second >= 128 and length <= self._max_size and self._fragments is None
        )
        if not is_usual:
            self._check_frame(first, second, length)
        if available < head + length:
            self._need = head + length
            return 0
        body = start + head
        payload = apply_mask(data[body : body + length], data[body - 4 : body])
        if is_usual:
            if not payload.isascii():
                _check_text(payload)
            messages.append((TEXT, payload))
        else:
            self._take_other(first, payload, messages)
        return body + length

    def _check_frame(self, first: int, second: int, length: int) -> None:
        """What a frame's header alone can have wrong with it."""
        if second < 128:
            raise ProtocolFault(CloseCode.PROTOCOL_ERROR, "frames from a client must be masked")
        if first & 0x70:
            raise ProtocolFault(CloseCode.PROTOCOL_ERROR, "reserved bits are set")
        opcode = first & 15
        if opcode in (CLOSE, PING, PONG):
            if length > _MAX_CONTROL_PAYLOAD or second & 127 > _MAX_CONTROL_PAYLOAD or first < 128:
                raise ProtocolFault(CloseCode.PROTOCOL_ERROR, "a control frame is fragmented or too long")
            return
        if opcode not in (TEXT, BINARY, _CONTINUATION):
            raise ProtocolFault(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if (opcode == _CONTINUATION) != (self._fragments is not None):
            raise ProtocolFault(CloseCode.PROTOCOL_ERROR, "a fragment is out of place")
        if length + self._fragments_size > self._max_size:
            raise ProtocolFault(
                CloseCode.MESSAGE_TOO_BIG, f"messages may have {self._max_size} bytes at most"
            )

    def _take_other(self, first: int, payload: bytes, messages: list[Message]) -> None:
        opcode, is_final = first & 15, first >= 128
        if opcode >= CLOSE or (is_final and self._fragments is None):
            messages.append((opcode, payload))
            return
        if self._fragments is None:
            self._fragments, self._opcode = [], opcode
            self._decoder = _new_decoder() if opcode == TEXT else None
        self._add_fragment(self._fragments, payload, is_final)
        if is_final:
            messages.append((self._opcode, b"".join(self._fragments)))
            self._fragments, self._fragments_size, self._decoder = None, 0, None

    def _add_fragment(self, fragments: list[bytes], payload: bytes, is_final: bool) -> None:
        if len(fragments) == MAX_FRAGMENTS:
            raise ProtocolFault(
                CloseCode.MESSAGE_TOO_BIG, f"messages may have {MAX_FRAGMENTS} fragments at most"
            )
        fragments.append(payload)
        self._fragments_size += len(payload)
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, is_final)
            except UnicodeDecodeError:
                raise ProtocolFault(CloseCode.INVALID_DATA, _NOT_UTF8) from None


def _check_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise ProtocolFault(CloseCode.INVALID_DATA, _NOT_UTF8) from None


def parse_close(payload: bytes) -> int:
    """The code of a close frame, 1005 where it has none. Raises ProtocolFault for a malformed one."""
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _WIRE_CODES or 3000 <= code < 5000):
        raise ProtocolFault(CloseCode.PROTOCOL_ERROR, "the close frame is malformed")
    _check_text(payload[2:])
    return code
