"""What proxies say of a request: how far it is believed, and below which path they offer the server."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from server.core.connection_limits import Network, client_address, is_in

OWN_PATHS: Final = frozenset({"/api", "/app", "/docs", "/health", "/metrics", "/redoc", "/stats", "/ws"})
"""Where the server's own paths begin. A root path that is one of them could not be told from it."""

_root_path = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+").fullmatch
_host = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?").fullmatch
_SCHEMES: Final = frozenset({"http", "https"})


class Forwarded(NamedTuple):
    """What is believed: the client's address, and how it addressed us where the proxy tells."""

    address: str
    scheme: str | None = None
    host: str | None = None
    root_path: str | None = None


def is_root_path(text: str) -> bool:
    """Tell whether all can be served below that path."""
    return _root_path(text) is not None and text not in OWN_PATHS


def below(path: str, root_path: str) -> str:
    """Return the path without its root, as often as it begins with it: no two readers of it may differ."""
    start, step = 0, len(root_path)
    while (
        root_path and path.startswith(root_path, start) and path[start + step : start + step + 1] in ("", "/")
    ):
        start += step
    return path[start:] or "/"


def read_forwarded(headers: Mapping[str, str], peer: str, trusted: Sequence[Network]) -> Forwarded | None:
    """Read the `x-forwarded-` headers, named by what follows that; None where the peer is not trusted.

    Of a list of schemes or hosts the first is what the client saw. What makes no sense is passed over.
    """
    if not is_in(peer, trusted):
        return None
    scheme, host = (headers.get(name, "").partition(",")[0].strip() for name in ("proto", "host"))
    root_path = headers.get("prefix", "").rstrip("/")
    return Forwarded(
        client_address(peer, headers.get("for", ""), trusted),
        scheme if scheme in _SCHEMES else None,
        host if _host(host) else None,
        root_path if is_root_path(root_path) else None,
    )
