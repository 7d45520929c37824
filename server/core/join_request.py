"""Who may connect, decided from the request alone: `/ws/{user_id}?conversation_id=...`."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from server.protocol import CloseCode, is_identifier, is_party

_SEQ_DIGITS: Final = 18  # more than any log holds, and within 64 bits


class Refusal(NamedTuple):
    """A connection is accepted and then closed with this; `label` names the reason in the statistics."""

    code: CloseCode
    reason: str
    label: str


class JoinRequest(NamedTuple):
    """What a device asks for. Absent parts are None."""

    user_id: str
    conversation_id: str
    client_id: str | None
    session_id: str | None
    last_seq: int | None
    epoch: str | None
    ip: str
    expires: float = math.inf  # of its token, in seconds since the epoch


def read_query(text: str) -> dict[str, str]:
    """Read the part of a URL behind its question mark; of several values of one name the last counts."""
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    pairs = (part.partition("=") for part in text.split("&") if part)  # the same, at a third of the time
    return {name: value for name, _, value in pairs}


def read_join_request(user_id: str, query: Mapping[str, str], ip: str) -> JoinRequest | Refusal:
    """The request, or which part of it is missing or wrong."""
    if not is_identifier(user_id):
        return _bad("user_id")
    if not is_party(user_id):
        return Refusal(CloseCode.POLICY_VIOLATION, "user_id: is the server's own name", "bad_request")
    if not query.get("conversation_id"):
        return Refusal(CloseCode.POLICY_VIOLATION, "conversation_id is required", "bad_request")
    for name in ("conversation_id", "client_id", "session_id"):
        if name in query and not is_identifier(query[name]):
            return _bad(name)
    last_seq = query.get("last_seq")
    if last_seq is not None and not _is_seq(last_seq):
        return Refusal(
            CloseCode.POLICY_VIOLATION, "last_seq must be a whole number, 0 or above", "bad_request"
        )
    return JoinRequest(
        user_id,
        query["conversation_id"],
        query.get("client_id"),
        query.get("session_id"),
        None if last_seq is None else _seq(last_seq),
        query.get("epoch"),
        ip,
    )


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _seq(digits: str) -> int:
    """A number that no log reaches stays one."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _SEQ_DIGITS else 10**_SEQ_DIGITS


def _bad(name: str) -> Refusal:
    reason = f"{name} must be 1 to 128 letters, digits or . _ : @ -, and not . or .."
    return Refusal(CloseCode.POLICY_VIOLATION, reason, "bad_request")
