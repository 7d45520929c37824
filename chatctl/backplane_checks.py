"""What `chatctl doctor` looks at in the service that joins the nodes."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from chatctl.findings import Finding, Verdict
from server.ports import BackplaneUnavailable
from server.settings import shown

if TYPE_CHECKING:
    from server.backplane.redis.administration import Examination

_NO_DRIVER: Final = "the backplane needs its driver: pip install 'chatctl[cluster]'"
_OLDEST: Final = (6, 0)  # whose scripts may ask for the time and write
_SLOW_MS: Final = 5.0  # a join waits for some of these; people begin to notice
_EVICTION, _MEMORY, _BUFFERS = "maxmemory-policy", "maxmemory", "client-output-buffer-limit"
_SETTINGS: Final = (_EVICTION, _MEMORY, _BUFFERS)
_LITTLE_BUFFER: Final = 32 * 2**20  # bytes; what Redis and Valkey come with


def check_backplane(url: str) -> Iterator[Finding]:
    """Yields what is found at that URL."""
    try:
        from server.backplane.redis import administration
    except ImportError:
        yield Finding("backplane", "fail", _NO_DRIVER)
        return
    try:
        found = asyncio.run(administration.examine(url, _SETTINGS))
    except BackplaneUnavailable as fault:
        remedy = "start it, or correct backplane.url"
        yield Finding("backplane", "fail", f"{shown('backplane.url', url)}: {fault}", remedy)
        return
    yield _server(found)
    yield _speed(found)
    yield from _settings(found.settings)


def _server(found: "Examination") -> Finding:
    if found.version < _OLDEST:
        return Finding("backplane", "fail", found.server, "install Redis 6 or newer, or Valkey")
    if found.is_replica:
        return Finding("backplane", "fail", f"{found.server}, a replica", "name its primary in backplane.url")
    if found.is_cluster:
        return Finding(
            "backplane",
            "fail",
            f"{found.server} in cluster mode",
            "name one that is not (cluster-enabled no)",
        )
    return Finding("backplane", "ok", found.server)


def _speed(found: "Examination") -> Finding:
    is_slow = found.round_trip_ms > _SLOW_MS
    verdict: Verdict = "warn" if is_slow else "ok"
    remedy = "each join waits for some of these; move it nearer to the nodes" if is_slow else ""
    return Finding("backplane", verdict, f"a round trip takes {found.round_trip_ms:.2f} ms", remedy)


def _settings(settings: dict[str, str]) -> Iterator[Finding]:
    policy = settings.get(_EVICTION, "noeviction")
    if policy != "noeviction" and settings.get(_MEMORY, "0") != "0":
        text = f"{_EVICTION} is {policy}: where memory is full, nodes forget each other's devices"
        yield Finding("backplane", "warn", text, f"CONFIG SET {_EVICTION} noeviction")
    hard = _pubsub_limit(settings.get(_BUFFERS, ""))
    if 0 < hard < _LITTLE_BUFFER:
        text = f"{_BUFFERS} of pubsub is {hard:,} bytes: a node that is late a moment is cut off"
        yield Finding("backplane", "warn", text, f"CONFIG SET {_BUFFERS} 'pubsub 32mb 8mb 60'")


def _pubsub_limit(limits: str) -> int:
    """Return the hard limit in bytes, 0 for none; `limits`: class, hard, soft and seconds of each class."""
    words = limits.split()
    return int(words[words.index("pubsub") + 1]) if "pubsub" in words else 0
