"""The server's REST routes that a load test needs."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import httpx2

from chatctl.client.network import http_options
from server.protocol import MAX_PAGE

Frame = dict[str, Any]


class RestError(Exception):
    """The server could not be reached, or refused; the message is one line.

    `code` is the error code of a refusal, None where no server gave one.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Rest:
    """A client of one server. Safe for use by several threads or greenlets.

    `others`: nodes that are asked where the server at `url` cannot be reached.
    """

    def __init__(
        self, url: str, api_key: str | None = None, timeout: float = 10.0, others: Sequence[str] = ()
    ) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        # Without a proxy: it is the server that is measured.
        self._clients = [
            httpx2.Client(headers=headers, timeout=timeout, **http_options(each, proxy=None))
            for each in (url, *others)
        ]
        self._client = self._clients[0]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def stats(self) -> dict[str, Any]:
        return self._json("GET", "/stats")

    def items(self, path: str) -> list[Any]:
        """Read a list, as those of the REST API are."""
        return list(self._json("GET", "{id}", path)["items"])

    def page(self, conversation_id: str, after_seq: int, limit: int = MAX_PAGE) -> list[Frame]:
        """The frames directly above `after_seq`, at most `limit`."""
        return list(self._page(conversation_id, after_seq, limit)["items"])

    def history(self, conversation_id: str) -> Iterator[Frame]:
        """Every message of the conversation, from the first."""
        newest, more = 0, True
        while more:
            page = self._page(conversation_id, newest, MAX_PAGE)
            yield from page["items"]
            more = bool(page["has_more"] and page["items"])
            newest = page["items"][-1]["seq"] if more else newest

    def post(self, path: str) -> None:
        """Do what has no body and no answer."""
        try:
            response = self._client.post(path)
        except httpx2.HTTPError as error:
            raise RestError(f"POST {path}: {error or type(error).__name__}") from error
        if not response.is_success:
            raise RestError(f"POST {path} answered with HTTP {response.status_code}", _error_code(response))

    def send_ai(self, conversation_id: str, message_id: str, text: str) -> dict[str, Any]:
        """Sends an AI's message; the answer is the ACK."""
        body = {"conversation_id": conversation_id, "message_id": message_id, "message": text}
        return self._json("POST", "/api/send-ai-message", json=body)

    def stream_ai(self, conversation_id: str, message_id: str, pieces: Iterator[str]) -> dict[str, Any]:
        """Sends an AI's message piece by piece; the answer is the ACK. Not repeated: the pieces are gone."""
        try:
            response = self._client.post(
                "/api/stream-ai-message",
                params={"conversation_id": conversation_id, "message_id": message_id},
                headers={"Content-Type": "text/plain"},
                content=(piece.encode() for piece in pieces),
            )
        except httpx2.HTTPError as error:
            raise RestError(f"POST /api/stream-ai-message: {error or type(error).__name__}") from error
        return _document(response, "POST", "/api/stream-ai-message")

    def _page(self, conversation_id: str, after_seq: int, limit: int) -> dict[str, Any]:
        query = {"after_seq": after_seq, "limit": limit}
        return self._json("GET", "/api/conversations/{id}/messages", conversation_id, params=query)

    def _json(self, method: str, route: str, id: str = "", **request: Any) -> dict[str, Any]:
        """Errors name the route and not the path: thousands of conversations have one error."""
        try:
            response = self._answer(method, route.format(id=id), **request)
        except httpx2.HTTPError as error:
            raise RestError(f"{method} {route}: {error or type(error).__name__}") from error
        return _document(response, method, route)

    def _answer(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """All routes used here are idempotent."""
        for client in self._clients[:-1]:
            with suppress(httpx2.TransportError):
                return client.request(method, path, **request)
        try:
            return self._clients[-1].request(method, path, **request)
        except httpx2.RemoteProtocolError:  # the server closed an idle connection just then
            return self._clients[-1].request(method, path, **request)


def _document(response: httpx2.Response, method: str, route: str) -> dict[str, Any]:
    """Raises RestError."""
    if not response.is_success:
        status, code = response.status_code, _error_code(response)
        raise RestError(f"{method} {route} answered with HTTP {status} {code or ''}".rstrip(), code)
    try:
        return dict(response.json())
    except ValueError as error:
        raise RestError(f"{method} {route}: {error}") from error


def _error_code(response: httpx2.Response) -> str | None:
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None
