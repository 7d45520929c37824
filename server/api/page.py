"""The chat page at /app, and the JavaScript client for every other front end."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request, Response

# No inline script or style, nothing from elsewhere, and no text that becomes HTML: the page's own files,
# and its own server's WebSocket.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
PAGE: Final = "index.html"
# Other origins' pages may import these.
CLIENT_FILES: Final = frozenset(
    f"{module}.{kind}" for module in ("chat-client", "chat-react", "chat-ai-sdk") for kind in ("js", "d.ts")
)
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """One file of the page, as it is sent."""

    body: bytes
    headers: dict[str, str]

    def response(self, known_etags: str) -> Response:
        """The file, or 304 where `known_etags` (If-None-Match) has its ETag."""
        if self.headers["ETag"] in known_etags:
            return Response(status_code=304, headers=self.headers)
        return Response(self.body, headers=self.headers)


def page_router() -> APIRouter:
    """Serves /app and its files, all read once: a request touches no file system."""
    assets = {
        asset_name: _asset(asset_name, file.read_bytes())
        for asset_name, file in _files(files("server") / "web")
    }
    router = APIRouter(include_in_schema=False)

    @router.api_route("/app", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _offered(assets[PAGE], request)

    @router.api_route("/app/{name:path}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        found = assets.get(name or PAGE)
        if found is None:
            return Response("Not found\n", status_code=404, media_type="text/plain")
        return _offered(found, request)

    return router


def _offered(asset: Asset, request: Request) -> Response:
    """Answer with the file; the page names its parts below the path that a proxy offers the server under."""
    root_path = request.scope.get("root_path", "")
    if root_path and asset.headers["Content-Type"] == MEDIA_TYPES[".html"]:
        asset = _asset(PAGE, asset.body.replace(b'"/app/', f'"{root_path}/app/'.encode()))
    return asset.response(request.headers.get("if-none-match", ""))


def _files(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    """Every file that has a media type, by its path below the folder."""
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in MEDIA_TYPES:
            found.append((prefix + entry.name, entry))
    return found


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _asset(name: str, body: bytes) -> Asset:
    headers = {
        "Content-Type": MEDIA_TYPES[_suffix(name)],
        # Asked for again each time, and answered with 304: a new version is there at once.
        "Cache-Control": "no-cache",
        "ETag": f'"{sha256(body).hexdigest()[:32]}"',
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if name in CLIENT_FILES:
        headers["Access-Control-Allow-Origin"] = "*"
    return Asset(body, headers)
