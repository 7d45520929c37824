"""The head of a plain WebSocket handshake, read in one go. Anything else is left to the HTTP parser."""

import re
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

# What every client sends: no more of HTTP than can be told apart without a parser.
_is_plain: Final = re.compile(
    rb"GET (/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]+:(?: [!-~](?:[ -~]*[!-~])?)?\r\n)+)\r\n"
).match
_HAS_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})

Headers = list[tuple[bytes, bytes]]


class UpgradeHead(NamedTuple):
    """The request's target, its headers in lower case, and how long all of it is."""

    target: bytes
    headers: Headers
    size: int


def read_upgrade(data: bytes) -> UpgradeHead | None:
    """Read the head that the bytes begin with; None where it is not whole, or not plain."""
    if (found := _is_plain(data)) is None:
        return None
    headers: Headers = []
    for line in found[2][:-2].split(b"\r\n"):
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value[1:]))
    named = dict(headers)
    if len(named) != len(headers) or not _HAS_BODY.isdisjoint(named):
        return None
    options = [option.strip() for option in named.get(b"connection", b"").lower().split(b",")]
    if b"upgrade" not in options or named.get(b"upgrade", b"").lower() != b"websocket":
        return None
    return UpgradeHead(found[1], headers, found.end())


def websocket_scope(request: dict[str, Any], target: bytes, headers: Headers) -> dict[str, Any]:
    """Return the ASGI scope of an upgrade; `request` has what is known of it beside target and headers."""
    path, _, query = target.partition(b"?")
    protocols = b",".join([value for name, value in headers if name == b"sec-websocket-protocol"])
    return {
        **request,
        "type": "websocket",
        "scheme": "wss" if request["scheme"] == "https" else "ws",
        "path": unquote(path.decode("ascii", "replace")),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "subprotocols": [p.strip() for p in protocols.decode("latin-1").split(",") if p.strip()],
    }
