"""Stamps: milliseconds since the epoch inside, RFC 3339 text on the wire."""

import re
from datetime import UTC, datetime
from typing import Final

DAY_MS: Final = 24 * 3600 * 1000
_is_rfc3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch


class StampFormatter:
    """Milliseconds to RFC 3339, remembering the last one: messages of one commit mostly share theirs."""

    __slots__ = ("_ms", "_text")

    def __init__(self) -> None:
        self._ms = -1
        self._text = ""

    def __call__(self, ms: int) -> str:
        if ms != self._ms:
            self._text, self._ms = rfc3339(ms), ms
        return self._text


def rfc3339(ms: int) -> str:
    """`2026-01-15T10:30:00.123Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def accepted_client_stamp(stamp: object, now_ms: int) -> str | None:
    """The client's own stamp when it is an RFC 3339 date within 24 hours of the server's clock."""
    if type(stamp) is not str or not _is_rfc3339(stamp):
        return None
    try:
        at = datetime.fromisoformat(stamp).timestamp() * 1000
    except ValueError:  # the 31st of February
        return None
    return stamp if abs(at - now_ms) <= DAY_MS else None
