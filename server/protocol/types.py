"""The closed sets of the wire: message types, close codes, error codes."""

from enum import StrEnum
from typing import Final

PROTOCOL_VERSION: Final = 1
SERVER_SENDER: Final = "server"
ACK_TEXT: Final = "Message processed successfully"


class MessageType(StrEnum):
    """What a frame is. The comment tells who may send it."""

    CHAT_MESSAGE = "CHAT_MESSAGE"  # client; server to all devices
    AI_RESPONSE = "AI_RESPONSE"  # server
    AI_RESPONSE_CHUNK = "AI_RESPONSE_CHUNK"  # server
    CANCEL_RESPONSE = "CANCEL_RESPONSE"  # client
    AUTH_REFRESH = "AUTH_REFRESH"  # client
    ACK = "ACK"  # server
    NACK = "NACK"  # server
    TYPING_INDICATOR = "TYPING_INDICATOR"  # both
    READ_RECEIPT = "READ_RECEIPT"  # both
    NEW_MATCH = "NEW_MATCH"  # server
    AI_STATUS = "AI_STATUS"  # server
    CONVERSATION_CREATED = "CONVERSATION_CREATED"  # server
    SYSTEM = "SYSTEM"  # server
    ERROR = "ERROR"  # server
    PING = "PING"  # both
    PONG = "PONG"  # both


class ErrorCode(StrEnum):
    """`error.code` of a NACK, an ERROR or a REST error."""

    INVALID_JSON = "invalid_json"
    INVALID_FRAME = "invalid_frame"
    VALIDATION_FAILED = "validation_failed"
    EMPTY_MESSAGE = "empty_message"
    MESSAGE_TOO_LONG = "message_too_long"
    UNKNOWN_TYPE = "unknown_type"
    NOT_AUTHORIZED = "not_authorized"
    MESSAGE_ID_CONFLICT = "message_id_conflict"
    RATE_LIMITED = "rate_limited"
    STORE_UNAVAILABLE = "store_unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL_ERROR = "internal_error"
    # REST only
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UPSTREAM_ERROR = "upstream_error"

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later."""
        return self in _RETRYABLE


_RETRYABLE: Final = frozenset(
    {
        ErrorCode.RATE_LIMITED,
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.OUTCOME_UNKNOWN,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.UPSTREAM_ERROR,
    }
)


class Finish(StrEnum):
    """`finish` of an AI_RESPONSE: why it is not whole. A whole one has none."""

    CANCELLED = "cancelled"  # somebody stopped it
    LENGTH = "length"  # the model's limit, or the server's
    CONTENT_FILTER = "content_filter"  # its provider went no further
    INCOMPLETE = "incomplete"  # its stream broke off, and the part was kept
