"""Why connections are closed: each code with its reasons, and what a client does after it.

The frame parser's faults alone have reasons of their own, since those name what is wrong with a frame.
"""

from enum import IntEnum
from typing import Final, NamedTuple


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
    """Tell whether a client tries again after a close with this code.

    Codes that no close frame carries (1005, 1006: the connection broke) and codes that this
    protocol does not know below 4000 count as a broken connection.
    """
    if code >= 4000:
        return code < 4500
    try:
        return CloseCode(code) in _RECONNECTING_CODES
    except ValueError:
        return True


class Close(NamedTuple):
    """One way to end a connection; the reason is for a person, at most 123 bytes of UTF-8."""

    code: CloseCode
    reason: str


KICKED: Final = Close(CloseCode.NORMAL, "closed by an operator")
CONVERSATION_DELETED: Final = Close(CloseCode.NORMAL, "the conversation was deleted")
SERVER_LEAVES: Final = Close(CloseCode.GOING_AWAY, "the server is shutting down")
FOREIGN_PAGE: Final = Close(
    CloseCode.POLICY_VIOLATION, "pages of this origin may not connect (server.allowed_origins)"
)
UNKNOWN_CONVERSATION: Final = Close(CloseCode.POLICY_VIOLATION, "unknown conversation")
NOT_THE_OWNER: Final = Close(CloseCode.POLICY_VIOLATION, "not your conversation")
SERVER_FAULT: Final = Close(CloseCode.INTERNAL_ERROR, "a fault of the server")
DATABASE_REPLACED: Final = Close(CloseCode.INTERNAL_ERROR, "the database was replaced")
SERVER_FULL: Final = Close(CloseCode.TRY_AGAIN_LATER, "the server is full")
DATABASE_SILENT: Final = Close(CloseCode.TRY_AGAIN_LATER, "the database does not answer")
HISTORY_UNREADABLE: Final = Close(CloseCode.TRY_AGAIN_LATER, "the history could not be read")
BEING_DELETED: Final = Close(CloseCode.TRY_AGAIN_LATER, "the conversation is being deleted")
NOT_DELETED: Final = Close(CloseCode.TRY_AGAIN_LATER, "the conversation could not be deleted")
JOINS_TOO_OFTEN: Final = Close(CloseCode.TRY_AGAIN_LATER, "this user opens connections too often")
TOO_SLOW: Final = Close(CloseCode.SLOW_CONSUMER, "too slow: reconnect with last_seq to get what was missed")
TOKEN_RAN_OUT: Final = Close(CloseCode.TOKEN_EXPIRED, "the token has expired: reconnect with a new one")
CONNECTED_AGAIN: Final = Close(CloseCode.REPLACED, "this device connected again")


def silent(seconds: float) -> Close:
    """Make the close of a device without a sign of life."""
    return Close(CloseCode.HEARTBEAT_TIMEOUT, f"no sign of life for {seconds:g} s")


def invalid_frames(count: int) -> Close:
    """Make the close of a device that sent so many invalid frames in a row."""
    return Close(CloseCode.INVALID_DATA, f"{count} invalid frames in a row")


def too_many(of_whom: str, count: int) -> Close:
    """Make the close of one connection too many of this address or user."""
    return Close(CloseCode.POLICY_VIOLATION, f"too many connections of this {of_whom} ({count})")
