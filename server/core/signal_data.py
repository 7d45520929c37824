"""What the data of typing indicators, read receipts, cancellations and new tokens means."""

import json
from typing import Any, Final, NamedTuple

from server.core.model import Refused
from server.protocol import ErrorCode, is_identifier

_MAX_PING_DATA: Final = 1024  # bytes


class ReadUpTo(NamedTuple):
    """A receipt names a message or a seq; one of the two is None."""

    message_id: str | None
    seq: int | None


def typing_of(data: Any) -> bool | Refused:
    """`{"is_typing":true}`"""
    value = data.get("is_typing") if isinstance(data, dict) else None
    return value if isinstance(value, bool) else invalid("data.is_typing: must be true or false")


def receipt_of(data: Any) -> ReadUpTo | Refused:
    """`{"message_id":"..."}` or `{"seq":12}`; of both, the message counts."""
    if not isinstance(data, dict):
        return invalid("data: must be an object with message_id or seq")
    message_id, seq = data.get("message_id"), data.get("seq")
    if message_id is not None:
        if isinstance(message_id, str) and is_identifier(message_id):
            return ReadUpTo(message_id, None)
        return invalid("data.message_id: must be an identifier")
    if seq is None:
        return invalid("data: message_id or seq is required")
    if type(seq) is not int or seq < 1:
        return invalid("data.seq: must be a whole number, 1 or above")
    return ReadUpTo(None, seq)


def cancelled_id_of(data: Any) -> str | Refused | None:
    """Read which response is to be stopped: `{"message_id":"..."}`, or None for all that there are."""
    if data is not None and not isinstance(data, dict):
        return invalid("data: must be an object, with message_id or without")
    value = None if data is None else data.get("message_id")
    if value is None or (isinstance(value, str) and is_identifier(value)):
        return value
    return invalid("data.message_id: must be an identifier")


def token_of(data: Any) -> str | Refused:
    """`{"token":"..."}`"""
    value = data.get("token") if isinstance(data, dict) else None
    return value if isinstance(value, str) else invalid("data.token: is required, as a string")


def fault_of_ping(data: Any) -> Refused | None:
    """Judge the data of a PING, which the PONG repeats: none, or a small object of finite numbers."""
    if data is None:
        return None
    if not isinstance(data, dict):
        return invalid("data: must be an object")
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return invalid("data: numbers must be finite")
    is_small = len(text.encode()) <= _MAX_PING_DATA
    return None if is_small else invalid(f"data: at most {_MAX_PING_DATA} bytes of JSON are allowed")


def invalid(text: str) -> Refused:
    return Refused(ErrorCode.VALIDATION_FAILED, text)
