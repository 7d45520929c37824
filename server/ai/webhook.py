"""Lets the application's own service answer: each turn is POSTed to it, signed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx2
from pydantic_core import from_json

from server.ai.model_http import open_client, shown
from server.core.inbound import EMPTY_MESSAGE, check_text
from server.core.model import Refused
from server.core.redaction import redacted
from server.core.retrying import FailureKind, parse_retry_after
from server.core.stream_formats import StreamParser, make_parser
from server.core.turn_rules import Turn
from server.core.webhooks import bare, event_body, key_of, signature, turn_body, turn_id
from server.ports import ResponderFailed
from server.protocol import Finish

T = TypeVar("T")

MAX_ANSWER_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 200  # of an answer that was not as described
_ERROR_SECONDS: Final = 2.0  # in which the body of an error has to come
_ACCEPTED: Final = "application/json, text/event-stream, application/x-ndjson, text/plain"
_UNAVAILABLE: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """`secrets` as the settings have them. `timeout`: seconds for an answer to begin, and between pieces."""

    url: str
    secrets: tuple[str, ...] = ()
    timeout: float = 60.0


class WebhookService:
    """Implements Responder and Notifier."""

    def __init__(self, config: WebhookConfig) -> None:
        self._config = config
        self._url = httpx2.URL(config.url)
        self._keys = [key_of(secret) for secret in config.secrets]
        self._client = open_client(config.url, _ACCEPTED)

    async def answer(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        async with aclosing(await self._post(turn_id(turn), turn_body(turn, _now_ms()))) as response:
            if response.status_code != HTTPStatus.OK:
                return  # taken: the answer comes by the REST API
            parser = make_parser(response.headers.get("Content-Type"))
            if parser is not None:
                async with aclosing(self._streamed(response, parser)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            text = self._message_in(await self._body_of(response))
        yield text  # the call is over

    async def notify(self, event: str, data: dict[str, Any], event_id: str) -> None:
        async with aclosing(await self._post(event_id, event_body(event, data, _now_ms()))):
            pass  # whatever the service says beside that it took it

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, webhook_id: str, body: bytes) -> httpx2.Response:
        """Return the open response of a service that took it. Raises ResponderFailed."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            headers["webhook-signature"] = signature(self._keys, webhook_id, timestamp, body)
        request = self._client.build_request("POST", self._url, content=body, headers=headers)
        late = f"did not begin to answer within {self._config.timeout:g} s"
        try:
            response = await self._in_time(self._client.send(request, stream=True), late)
        except httpx2.HTTPError as fault:
            kind = (
                FailureKind.TIMEOUT if isinstance(fault, httpx2.TimeoutException) else FailureKind.UNREACHABLE
            )
            raise self._failed(str(fault) or type(fault).__name__, kind) from fault
        if not response.is_success:
            async with aclosing(response):
                raise await self._refusal_of(response)
        return response

    async def _streamed(
        self, response: httpx2.Response, parser: StreamParser
    ) -> AsyncGenerator[str | Finish, None]:
        """Yield the visible text of a streamed answer as it comes."""
        if not ({"Transfer-Encoding", "Content-Length"} & {name.title() for name in response.headers}):
            why = "streamed an answer of which nobody can tell that it is whole: send it chunked"
            raise self._failed(why, FailureKind.UPSTREAM_ERROR)
        is_empty = True
        async with aclosing(self._chunks(response)) as chunks:
            async for data in chunks:
                if text := parser.feed(data):
                    is_empty = False
                    yield text
                if parser.is_over:
                    break
        if rest := parser.close():
            is_empty = False
            yield rest
        if parser.fault is not None:
            raise self._failed(f"broke its stream off: {parser.fault.text}", FailureKind.UPSTREAM_ERROR)
        if is_empty:
            raise self._failed("streamed an answer in which nothing can be shown", FailureKind.EMPTY)
        if parser.finish is not None:
            yield parser.finish

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an answer, up to what one may have. Raises ResponderFailed."""
        late, left = f"stopped for {self._config.timeout:g} s within its answer", MAX_ANSWER_BYTES
        try:
            async with aclosing(response.aiter_bytes()) as chunks:
                while (data := await self._in_time(anext(chunks, None), late)) is not None:
                    left -= len(data)
                    if left < 0:
                        too_long = f"answered with more than {MAX_ANSWER_BYTES} bytes"
                        raise self._failed(too_long, FailureKind.UPSTREAM_ERROR)
                    yield data
        except httpx2.HTTPError as fault:
            broke = f"broke its answer off: {str(fault) or type(fault).__name__}"
            raise self._failed(broke, FailureKind.TRUNCATED) from fault

    async def _body_of(self, response: httpx2.Response) -> bytes:
        async with aclosing(self._chunks(response)) as chunks:
            return b"".join([data async for data in chunks])

    def _message_in(self, body: bytes) -> str:
        try:
            answer = from_json(body)
        except ValueError:
            answer = None
        message = answer.get("message") if isinstance(answer, dict) else None
        if (why := check_text(message, MAX_ANSWER_BYTES)) is None:
            assert isinstance(message, str)
            return message
        complaint = why.text.replace("data:", "message:") if isinstance(answer, dict) else "no JSON object"
        words = body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
        raise self._failed(f"answered 200, but not as described ({complaint}): {words}", _kind_of_body(why))

    async def _refusal_of(self, response: httpx2.Response) -> ResponderFailed:
        if response.has_redirect_location:
            words = f"redirects to {response.headers['Location'][:_SHOWN_CHARACTERS]}"
        else:
            words = await _words_of(response)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
        return self._failed(
            f"answered {response.status_code}: {words}", _kind_of(response.status_code), retry_after
        )

    async def _in_time(self, awaited: Awaitable[T], complaint: str) -> T:
        """Await it. Raises ResponderFailed with the complaint once ai.webhook_timeout is over."""
        try:
            async with asyncio.timeout(self._config.timeout):
                return await awaited
        except TimeoutError as fault:
            raise self._failed(complaint, FailureKind.TIMEOUT) from fault

    def _failed(self, what: str, kind: FailureKind, retry_after: float | None = None) -> ResponderFailed:
        """Make a failure that tells what the service did, and no secret."""
        secrets = self._config.secrets
        told = redacted(what[: _SHOWN_CHARACTERS + 100], (*secrets, *map(bare, secrets)))
        return ResponderFailed(f"{shown(self._url)} {told}", kind, retry_after)


def _kind_of(status: int) -> FailureKind:
    if status == HTTPStatus.GONE:
        return FailureKind.GONE
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return FailureKind.RATE_LIMITED
    return FailureKind.UNAVAILABLE if status in _UNAVAILABLE else FailureKind.UPSTREAM_ERROR


def _kind_of_body(why: Refused) -> FailureKind:
    return FailureKind.EMPTY if why is EMPTY_MESSAGE else FailureKind.UPSTREAM_ERROR


async def _words_of(response: httpx2.Response) -> str:
    """Read how a refusal begins."""
    body = b""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_ERROR_SECONDS):
            async for data in response.aiter_bytes():
                body += data
                if len(body) >= 4 * _SHOWN_CHARACTERS:
                    break
    return body.decode("utf-8", "replace")[:_SHOWN_CHARACTERS] or "no reason given"


def _now_ms() -> int:
    return int(time.time() * 1000)
