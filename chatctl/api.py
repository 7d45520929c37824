"""The REST API as commands use it: answers as plain data, everything else as a CommandError."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from chatctl.client.network import NetworkMisconfigured, http_options, proxy_for
from chatctl.failure import MISUSED, CommandError

# Longer than any typing_delay that people wait for (send-ai --typing answers after it).
TIMEOUT = 60.0
CONNECT_TIMEOUT = 5.0

_NO_KEY = "; give the server's key with --api-key or CHATCTL_API_KEY"
_WRONG_KEY = "; check --api-key or CHATCTL_API_KEY"


class UnreachableError(CommandError):
    """No answer came: nothing listens there, or the connection broke; `reason` says which."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"cannot reach {url}: {reason}")
        self.reason = reason


class RefusedError(CommandError):
    """The server answered with an error; `code` is as in the protocol, `status` the HTTP status."""

    def __init__(self, text: str, code: str, status: int) -> None:
        super().__init__(f"{text} ({code})" if code else text)
        self.code = code
        self.status = status


class Api:
    """One server's REST API. Every method raises UnreachableError or RefusedError."""

    def __init__(self, url: str, api_key: str = "", timeout: float = TIMEOUT) -> None:
        host = urlsplit(url).hostname
        if not url.startswith(("http://", "https://")) or not host:
            raise CommandError(
                f"no URL of a server: {url} (it looks like http://host:port)", exit_code=MISUSED
            )
        self.url = url.rstrip("/")
        self._has_key = bool(api_key)
        try:
            options = http_options(self.url, proxy=proxy_for(self.url))
        except NetworkMisconfigured as error:
            raise CommandError(str(error), exit_code=MISUSED) from None
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(timeout, connect=CONNECT_TIMEOUT),
            **options,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **parameters: Any) -> Any:
        return self.call("GET", path, params=_present(parameters))

    def health(self) -> Any:
        """GET /health: one document, whether the server wants work (200) or not (503)."""
        response = self._send("GET", "/health")
        if response.status_code not in (httpx2.codes.OK, httpx2.codes.SERVICE_UNAVAILABLE):
            raise self._refusal(response)
        return self._document(response)

    def post(self, path: str, **body: Any) -> Any:
        """POST a JSON object; what is None is left out."""
        return self.call("POST", path, json=_present(body))

    def stream(self, path: str, pieces: Iterator[bytes], **parameters: Any) -> Any:
        """POST text/plain that goes out as it comes."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return self.call("POST", path, params=_present(parameters), content=pieces, headers=headers)

    def lines(self, path: str) -> Iterator[str]:
        """GET what comes line by line, however much it is."""
        try:
            with self._client.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield from _lines(response.iter_bytes())
        except httpx2.TimeoutException:
            raise UnreachableError(self.url, "it does not answer in time") from None
        except httpx2.TransportError as error:
            raise UnreachableError(self.url, _reason(error)) from None

    def delete(self, path: str) -> None:
        self.call("DELETE", path)

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The answer's JSON, None for an empty one."""
        response = self._send(method, path, **request)
        if not response.is_success:
            raise self._refusal(response)
        return self._document(response)

    def _send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        try:
            return self._client.request(method, path, **request)
        except UnicodeEncodeError:  # what the shell gave had bytes that are no UTF-8
            raise CommandError("what is to be sent is not UTF-8", exit_code=MISUSED) from None
        except httpx2.TimeoutException:
            raise UnreachableError(self.url, "it does not answer in time") from None
        except httpx2.TransportError as error:
            raise UnreachableError(self.url, _reason(error)) from None

    def _document(self, response: httpx2.Response) -> Any:
        try:
            return response.json() if response.content else None
        except ValueError:
            raise CommandError(f"{self.url} does not answer like a chat server") from None

    def _refusal(self, response: httpx2.Response) -> RefusedError:
        try:
            answer = response.json()
            text, code = str(answer["data"]), str(answer["error"]["code"])
        except (ValueError, LookupError, TypeError):
            text, code = f"the server answered {response.status_code} {response.reason_phrase}", ""
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            text += _WRONG_KEY if self._has_key else _NO_KEY
        return RefusedError(text, code, response.status_code)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines end with LF and nothing else: U+2028 in a message is text."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in whole)


def segment(identifier: str) -> str:
    """Return an identifier as one part of a path.

    Raises CommandError for what a path cannot hold as one: "" and the steps `.` and `..` would ask for
    another document, and what came would be taken for the answer.
    """
    if identifier in ("", ".", ".."):
        told = identifier or "an empty text"
        raise CommandError(f"{told} is no id: ids have letters, digits or . _ : @ -", exit_code=MISUSED)
    return quote(identifier, safe="")


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _reason(error: Exception) -> str:
    """The innermost cause in plain words: `Connection refused`."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
