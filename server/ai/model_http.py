"""Speaks HTTP with a model's server: the client, and what its refusals say."""

import asyncio
import json
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import httpx2

from server.core.hosts import is_loopback
from server.core.redaction import redacted
from server.core.retrying import FailureKind, parse_retry_after
from server.core.stream_formats import error_text
from server.ports import ResponderFailed

_CONNECT_SECONDS: Final = 10.0  # for TCP and TLS; who has not answered by then is not there
# For which an idle connection is used again; less than servers keep one (uvicorn: 5 s), or a request would
# meet its end.
_KEPT_SECONDS: Final = 2.0
_MAX_ERROR_BYTES: Final = 16 * 1024
_MAX_ADDRESS: Final = 200  # characters of a redirect's that are told
_ERROR_SECONDS: Final = 2.0  # in which the body of an error has to come
# Beside 5xx: what the same request may do better soon.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})


class UnusableProxy(Exception):
    """HTTP_PROXY or its like names what is no proxy of ours; the text says why. `url`: who is behind it."""

    def __init__(self, url: str, why: Exception) -> None:
        super().__init__(f"the proxy of the environment cannot be used: {why}")
        self.url = url


def open_client(url: str, accept: str = "text/event-stream, application/json") -> httpx2.AsyncClient:
    """Make a client for that server. It obeys HTTP_PROXY and its like, but never for this machine.

    It follows no redirects, so that the key goes where the settings say and nowhere else. Raises
    UnusableProxy.
    """
    try:
        return httpx2.AsyncClient(
            trust_env=not is_loopback(httpx2.URL(url).host),
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),  # the rest is the responder's own
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEPT_SECONDS),
            headers={"Accept": accept, "Accept-Encoding": "identity"},
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as fault:  # SOCKS wants another package
        raise UnusableProxy(url, fault) from fault


def shown(url: httpx2.URL) -> str:
    """Write an address as logs may show it: without a user, a password or a query."""
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"


async def refusal_of(response: httpx2.Response, secret: str) -> ResponderFailed:
    """Make the failure that an open response other than 200 stands for; `secret` is told nobody."""
    words = redacted(await _words_of(response), [secret])
    if response.has_redirect_location:
        address = redacted(response.headers["Location"][:_MAX_ADDRESS], [secret])
        words = f"it redirects to {address}: set ai.base_url to where the API is"
    text = f"{shown(response.request.url)} answered {response.status_code}: {words}"
    retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
    return ResponderFailed(text, _kind_of(response.status_code), retry_after)


def _kind_of(status: int) -> FailureKind:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return FailureKind.RATE_LIMITED
    if status in _PASSING or status < 300 or status >= 500:
        return FailureKind.UPSTREAM_ERROR
    return FailureKind.REFUSED


async def _words_of(response: httpx2.Response) -> str:
    body = b""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_ERROR_SECONDS):
            async for data in response.aiter_bytes():
                body += data
                if len(body) > _MAX_ERROR_BYTES:
                    break
    text = body.decode("utf-8", "replace")
    return error_text(_error_in(text)) or "no reason given"


def _error_in(text: str) -> Any:
    """Find the error object where providers put it; FastAPI's services call it `detail`."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return (body.get("error") or body.get("detail") or body) if isinstance(body, dict) else text
