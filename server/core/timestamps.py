"""Stamps: milliseconds since the epoch inside, RFC 3339 text on the wire."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

DAY_MS: Final = 24 * 3600 * 1000
_SECONDS_LENGTH: Final = len("2026-01-15T10:30:00")
_is_rest = lru_cache(maxsize=1024)(re.compile(r"(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII).fullmatch)
_is_seconds = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d", re.ASCII).fullmatch


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=64)
def rfc3339(ms: int) -> str:
    """`2026-01-15T10:30:00.123Z`."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _parsed_second(text: str) -> float | None:
    """Milliseconds of a date without zone; None when it is none. Devices send the same second many times."""
    if not _is_seconds(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000
    except ValueError:  # the 31st of February
        return None


def accepted_client_stamp(stamp: object, now_ms: int) -> str | None:
    """The client's own stamp when it is an RFC 3339 date within 24 hours of the server's clock."""
    if type(stamp) is not str:
        return None
    at, rest = _parsed_second(stamp[:_SECONDS_LENGTH]), stamp[_SECONDS_LENGTH:]
    if at is None or not _is_rest(rest):
        return None
    ahead = 0 if rest[-1] in "Zz" else _offset_ms(rest)
    return stamp if abs(at - ahead - now_ms) <= DAY_MS else None


def _offset_ms(rest: str) -> int:
    """How much a stamp is ahead of UTC, from its end: `+02:00`."""
    minutes = int(rest[-5:-3]) * 60 + int(rest[-2:])
    return (minutes if rest[-6] == "+" else -minutes) * 60_000
