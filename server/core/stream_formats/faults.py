"""Tells why a stream cannot be read on."""

import json
from typing import Any, Final

from server.core.model import Refused
from server.protocol import ErrorCode

_MAX_TEXT: Final = (
    300  # characters of a provider's own words: enough for its reason, and for one line of a log
)


class StreamFault(Exception):
    """Raised inside the parsers; `StreamParser` turns it into a value."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.why = Refused(code, text)


def malformed(text: str) -> StreamFault:
    """Build the fault of a stream that is not what it claims to be."""
    return StreamFault(ErrorCode.VALIDATION_FAILED, text)


def too_long(what: str, limit: int) -> StreamFault:
    """Build the fault of a line or an event of more than `limit` bytes."""
    return StreamFault(ErrorCode.TOO_LARGE, f"{what} is longer than {limit} bytes")


def upstream_error(error: Any) -> StreamFault:
    """Build the fault that a provider tells in its stream; `error` is whatever it sent."""
    return StreamFault(ErrorCode.UPSTREAM_ERROR, f"the stream ended with an error: {error_text(error)}")


def error_text(error: Any) -> str:
    """Find the words in a provider's error, whatever its shape, and put them on one line."""
    if isinstance(error, dict):
        words = [error.get(key) for key in ("type", "code", "message", "errorText")]
        found = ": ".join(str(word) for word in words if isinstance(word, str | int) and word != "error")
        error = found or json.dumps(error)
    return " ".join(str(error).split())[:_MAX_TEXT]
