"""Requests as the client sent them, where a trusted proxy passed them on."""

from collections.abc import Sequence

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from server.core.connection_limits import Network
from server.core.forwarding import Forwarded, below, read_forwarded

log = structlog.get_logger()

_PREFIX = b"x-forwarded-"
_SECURE = {"http": "https", "ws": "wss"}


class TrustedProxies:
    """Knows whose word counts on where a request comes from.

    Everything is served with and without `root_path`, which a proxy may have taken off or not; its
    X-Forwarded-Prefix says another one. `scope["path"]` is without it.
    """

    def __init__(self, trusted: Sequence[Network], root_path: str) -> None:
        self._trusted = trusted
        self._root_path = root_path
        self._has_warned = False

    def as_sent(self, scope: Scope) -> Scope:
        """Return the request with the client's address, and the scheme, host and path of its URL."""
        root_path = self._root_path
        if said := _forwarded_headers(scope):
            peer = scope["client"][0] if scope["client"] else ""
            believed = read_forwarded(said, peer, self._trusted)
            if believed is not None:
                scope = _believing(scope, believed)
                root_path = believed.root_path or root_path
            elif "for" in said:
                self._warn_of(peer)
        if not root_path:
            return scope
        path = below(below(scope["path"], self._root_path), root_path)
        return {**scope, "path": path, "root_path": root_path}

    def _warn_of(self, peer: str) -> None:
        """Say it once: whoever sends such headers directly would fill the log."""
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "proxy not trusted",
                peer=peer,
                effect="whoever comes through it counts as one address",
                remedy="name it in server.trusted_proxies",
            )


class Proxies:
    """ASGI middleware: all further in see requests as the client sent them."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope = self._trusted.as_sent(scope)
        await self._app(scope, receive, send)


def _forwarded_headers(scope: Scope) -> dict[str, str]:
    """Return them without their prefix; several of one name are one list."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name.startswith(_PREFIX):
            key, text = name[len(_PREFIX) :].decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _believing(scope: Scope, said: Forwarded) -> Scope:
    changed = {**scope, "client": (said.address, 0)}
    if said.scheme == "https":
        changed["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])
    if said.host is not None:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        changed["headers"] = [(b"host", said.host.encode()), *others]
    return changed
