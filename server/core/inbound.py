"""What a client's frame means, decided from its bytes alone.

A frame that has a usable message_id is answered by ACK or NACK; any other fault is an ERROR.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from server.core.model import Refused
from server.core.signal_data import cancelled_id_of, fault_of_ping, receipt_of, typing_of
from server.core.visible_text import shows_something
from server.protocol import (
    IDENTIFIER_RULE,
    ClientFrame,
    ErrorCode,
    MessageType,
    answered_seq_of,
    is_identifier,
)

CLIENT_TYPES: Final = frozenset(
    {
        MessageType.CHAT_MESSAGE,
        MessageType.CANCEL_RESPONSE,
        MessageType.AUTH_REFRESH,
        MessageType.TYPING_INDICATOR,
        MessageType.READ_RECEIPT,
        MessageType.PING,
        MessageType.PONG,
    }
)
# These may come without a message_id.
_ANONYMOUS_TYPES: Final = frozenset({MessageType.TYPING_INDICATOR, MessageType.PING, MessageType.PONG})
_SHOWN_CHARACTERS: Final = 64  # of a wrong value in an error's text


class Rejection(NamedTuple):
    """A frame that is not as it should be: a NACK where `message_id` is known, else an ERROR."""

    message_id: str | None
    why: Refused


def reject(message_id: str | None, why: Refused) -> Rejection:
    """Whatever is wrong with a frame that no NACK can answer, its ERROR calls it an invalid frame."""
    return Rejection(message_id, why if message_id else why._replace(code=ErrorCode.INVALID_FRAME))


EMPTY_MESSAGE: Final = Refused(ErrorCode.EMPTY_MESSAGE, "Message cannot be empty")
BINARY_FRAME: Final = Rejection(
    None,
    Refused(
        ErrorCode.INVALID_FRAME, "binary frames are not understood: send one JSON object in a text frame"
    ),
)
_FOREIGN_CONVERSATION: Final = Refused(
    ErrorCode.NOT_AUTHORIZED, "conversation_id: this connection belongs to another conversation"
)

_READERS: Final[dict[str, Callable[[Any], object]]] = {
    MessageType.TYPING_INDICATOR: typing_of,
    MessageType.READ_RECEIPT: receipt_of,
    MessageType.CANCEL_RESPONSE: cancelled_id_of,
    MessageType.PING: fault_of_ping,
}
_validate = ClientFrame.__pydantic_validator__.validate_json


def read_frame(payload: bytes, conversation_id: str, max_text_length: int) -> ClientFrame | Rejection:
    """Parse one text frame of a connection to that conversation.

    The data of a frame that belongs here is judged by whoever processes it.
    """
    try:
        frame: ClientFrame = _validate(payload)
    except ValidationError as fault:
        return _explain(payload, fault)
    if frame.type not in CLIENT_TYPES:
        return _refuse_type(frame)
    if frame.conversation_id is not None and frame.conversation_id != conversation_id:
        return reject(frame.message_id, fault_of_data(frame, max_text_length) or _FOREIGN_CONVERSATION)
    if frame.message_id is None and frame.type not in _ANONYMOUS_TYPES:
        return Rejection(None, Refused(ErrorCode.INVALID_FRAME, "message_id: is required"))
    if frame.message_id is not None and frame.message_id.startswith("answer-"):
        return _refuse_answer_id(frame, frame.message_id)
    return frame


def fault_of_data(frame: ClientFrame, max_text_length: int) -> Refused | None:
    """Judge a frame's data by its type alone: what is not valid is not asked whether it is allowed."""
    if frame.type == MessageType.CHAT_MESSAGE:
        return check_text(frame.data, max_text_length)
    read = _READERS.get(frame.type)
    meaning = None if read is None else read(frame.data)
    return meaning if isinstance(meaning, Refused) else None


def check_text(data: Any, max_length: int) -> Refused | None:
    """Whether `data` can be a message's text: 1 to max_length characters, of which one shows, no NUL."""
    if type(data) is not str:
        what = "is required" if data is None else "must be a string"
        return Refused(ErrorCode.VALIDATION_FAILED, f"data: {what}")
    if len(data) > max_length:
        return Refused(
            ErrorCode.MESSAGE_TOO_LONG,
            f"data: the text has {len(data)} characters, at most {max_length} are allowed",
        )
    if not shows_something(data):
        return EMPTY_MESSAGE
    if "\0" in data:
        return Refused(ErrorCode.VALIDATION_FAILED, "data: must not contain NUL characters")
    return None


def _refuse_answer_id(frame: ClientFrame, message_id: str) -> ClientFrame | Rejection:
    """Ids of the form answer-12 and answer-12-2 are the server's; all others are free."""
    if answered_seq_of(message_id) is None:
        return frame
    text = "message_id: names like answer-12 are the server's"
    return Rejection(message_id, Refused(ErrorCode.VALIDATION_FAILED, text))


def _refuse_type(frame: ClientFrame) -> Rejection:
    if frame.type in MessageType.__members__:
        text = f"type: {frame.type} is sent by the server only"
    else:
        text = f"type: {_shown(frame.type)} is not known"
    return reject(frame.message_id, Refused(ErrorCode.UNKNOWN_TYPE, text))


def _explain(payload: bytes, fault: ValidationError) -> Rejection:
    """The slow way, for frames with a fault: which, and can it be answered by a NACK?"""
    errors = fault.errors(include_url=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        return Rejection(
            None, Refused(ErrorCode.INVALID_JSON, errors[0]["msg"].replace("Invalid JSON", "invalid JSON"))
        )
    document = from_json(payload)
    if not isinstance(document, dict):
        return Rejection(None, Refused(ErrorCode.INVALID_FRAME, "a frame must be one JSON object"))
    message_id = document.get("message_id")
    if not (isinstance(message_id, str) and is_identifier(message_id)):
        return Rejection(None, Refused(ErrorCode.INVALID_FRAME, _describe(errors[0])))
    return Rejection(message_id, Refused(ErrorCode.VALIDATION_FAILED, _describe(errors[0])))


def _describe(error: ErrorDetails) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{field}: is required"
    if error["type"] == "string_pattern_mismatch":
        return f"{field}: {IDENTIFIER_RULE}"
    return f"{field}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _shown(text: str) -> str:
    """A client's own text within an error, cut and with nothing unprintable in it."""
    return ascii(text[:_SHOWN_CHARACTERS])
