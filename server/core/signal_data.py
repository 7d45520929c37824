"""What the data of typing indicators, read receipts, cancellations and new tokens means."""

from typing import Any, NamedTuple

from server.core.model import Refused
from server.protocol import ErrorCode, is_identifier


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


def cancelled_id_of(data: Any) -> str | Refused:
    """`{"message_id":"..."}`: the response that is to be stopped."""
    value = data.get("message_id") if isinstance(data, dict) else None
    if isinstance(value, str) and is_identifier(value):
        return value
    return invalid("data.message_id: is required, as an identifier")


def token_of(data: Any) -> str | Refused:
    """`{"token":"..."}`"""
    value = data.get("token") if isinstance(data, dict) else None
    return value if isinstance(value, str) else invalid("data.token: is required, as a string")


def invalid(text: str) -> Refused:
    return Refused(ErrorCode.VALIDATION_FAILED, text)
