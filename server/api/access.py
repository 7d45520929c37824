"""Who may call the REST API: services by an API key, users by their JWT for what is theirs.

A browser sends what any page asks it to, to this machine's own addresses too: pages of other origins change
nothing.
"""

import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.errors import error_answer
from server.core.connection_limits import origin_allowed
from server.core.model import STORE_UNAVAILABLE, Refused
from server.core.rate_limit import RateLimiter
from server.ports import MessageStore, StoreUnavailable
from server.protocol import ErrorCode, is_identifier
from server.runtime.base.tokens import Claims, Tokens

_OPEN_PATHS: Final = frozenset({"/", "/health", "/health/live", "/app"})
OPEN_FOLDER: Final = "/app/"
_CONVERSATIONS: Final = "/api/conversations"
_READING: Final = frozenset({"GET", "HEAD"})
_NO_KEY: Final = Refused(ErrorCode.UNAUTHORIZED, "an API key is needed")
_WRONG_KEY: Final = Refused(
    ErrorCode.UNAUTHORIZED, "this is no API key of the server, nor a user's valid token"
)
_NOT_THEIRS: Final = Refused(ErrorCode.FORBIDDEN, "a user's token reads that user's conversations only")
_NOT_FOUND: Final = Refused(ErrorCode.NOT_FOUND, "conversation not found")
_TOO_OFTEN: Final = Refused(ErrorCode.RATE_LIMITED, "too many reads with this user's token")
_FOREIGN_PAGE: Final = Refused(
    ErrorCode.FORBIDDEN, "pages of this origin may change nothing (server.allowed_origins)"
)


class Keys:
    """API keys as digests: the time of a comparison tells neither length nor how much of a key was right."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def has(self, key: bytes) -> bool:
        digest = _digest(key)
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


class Access:
    """ASGI middleware. Without keys everybody may call everything, but for other people's pages.

    It runs before any route, so that one that is added later is closed to users. `app.state` has the `store`
    and the rate of `reads`, which may be None.
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, tokens: Tokens | None, allowed_origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._keys = keys
        self._tokens = tokens
        self._allowed_origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        path, method = scope["path"], scope["method"]
        reads = method in _READING or (method == "OPTIONS" and _is_open(path))
        if not reads and not self._is_from_allowed_page(scope):
            return error_answer(403, _FOREIGN_PAGE)
        if not self._keys or (reads and _is_open(path)):
            return None
        given = _credentials(scope)
        if any(self._keys.has(each) for each in given):
            return None
        claims = self._user(given)
        if claims is None:
            return error_answer(401, _WRONG_KEY if any(given) else _NO_KEY)
        if not reads:
            return error_answer(403, _NOT_THEIRS)
        return _over_rate(scope, claims.user_id) or await self._foreign(scope, claims.user_id)

    def _is_from_allowed_page(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        return origin_allowed(headers.get("origin"), headers.get("host"), self._allowed_origins)

    def _user(self, given: Sequence[bytes]) -> Claims | None:
        if self._tokens is None:
            return None
        for each in given:
            found = self._tokens.verify(each.decode("latin-1"))
            if isinstance(found, Claims):
                return found
        return None

    async def _foreign(self, scope: Scope, user_id: str) -> JSONResponse | None:
        """What is another's is not found: a user does not learn that it is there."""
        path = scope["path"]
        if path == _CONVERSATIONS:
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("user_id", [user_id])
            return None if set(asked) == {user_id} else error_answer(404, _NOT_FOUND)
        if not path.startswith(_CONVERSATIONS + "/"):
            return error_answer(403, _NOT_THEIRS)
        conversation_id = path.removeprefix(_CONVERSATIONS + "/").partition("/")[0]
        store: MessageStore = scope["app"].state.store
        try:
            found = await store.find_conversation(conversation_id) if is_identifier(conversation_id) else None
        except StoreUnavailable:
            return error_answer(503, STORE_UNAVAILABLE)
        return None if found is not None and found.user_id == user_id else error_answer(404, _NOT_FOUND)


def _over_rate(scope: Scope, user_id: str) -> JSONResponse | None:
    """What a user reads takes others' time in the store."""
    reads: RateLimiter | None = scope["app"].state.reads
    wait = None if reads is None else reads.check(user_id, time.monotonic())
    return None if wait is None else error_answer(429, _TOO_OFTEN._replace(retry_after=wait))


def describe_access(app: FastAPI) -> None:
    """Has the OpenAPI document tell that the routes want a key: of a server that asks for one."""
    describe = app.openapi

    def with_keys() -> dict[str, Any]:
        document = describe()
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a user's token to read"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
        for path in _OPEN_PATHS & document["paths"].keys():
            document["paths"][path]["get"]["security"] = []
        return document

    app.openapi = with_keys  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _credentials(scope: Scope) -> list[bytes]:
    """What stands in X-API-Key and Authorization: Bearer."""
    found = []
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.append(value)
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            found.append(value[7:].strip())
    return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
