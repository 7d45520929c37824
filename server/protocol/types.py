"""The closed sets of the wire: message types, close codes, error codes."""

from enum import IntEnum, StrEnum
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


class CloseCode(IntEnum):
    """WebSocket close codes. From 4000 on the range is the policy: up to 4499 the client reconnects."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    HEARTBEAT_TIMEOUT = 4001
    SLOW_CONSUMER = 4002
    TOKEN_EXPIRED = 4003
    REPLACED = 4500


ABNORMAL_CLOSURE: Final = 1006
"""No close frame carries it: it stands for a connection that ended without one (RFC 6455, 7.1.5)."""

_RECONNECTING_CODES: Final = frozenset(
    {CloseCode.GOING_AWAY, CloseCode.INTERNAL_ERROR, CloseCode.TRY_AGAIN_LATER}
)


def reconnects_after(code: int) -> bool:
    """Whether a client tries again after a close with this code.

    Codes that no close frame carries (1005, 1006: the connection broke) and codes that this
    protocol does not know below 4000 count as a broken connection.
    """
    if code >= 4000:
        return code < 4500
    try:
        return CloseCode(code) in _RECONNECTING_CODES
    except ValueError:
        return True


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
