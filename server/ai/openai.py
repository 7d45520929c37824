"""Lets a model answer, through any API that speaks OpenAI's chat completions."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx2
import structlog

from server.ai.chat_messages import Manners, chat_messages
from server.ai.model_http import open_client, refusal_of, shown
from server.core.redaction import redacted
from server.core.retrying import FailureKind
from server.core.stream_formats import StreamParser, chat_completion_parser
from server.core.turn_rules import Turn
from server.ports import ResponderFailed
from server.protocol import ErrorCode, Finish

T = TypeVar("T")
log = structlog.get_logger()

_WHOLE: Final = "stop"
_MAX_REASON: Final = 60  # characters of an unknown one that are told


@dataclass(frozen=True, slots=True)
class Persona:
    """One AI's character: its system prompt, and its own model and params where it has them."""

    prompt: str
    model: str = ""  # "": the config's
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Where the API is and what it is asked for; `personas` by the AI's id. Timeouts in seconds."""

    base_url: str
    model: str
    api_key: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    personas: Mapping[str, Persona] = field(default_factory=dict)
    first_token_timeout: float = 60.0
    idle_timeout: float = 30.0
    answer_timeout: float = 300.0


class OpenAIResponder:
    """Implements Responder. Each answer is one request; its connection ends with it, however it ends."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._url = _endpoint(config.base_url)
        key = config.api_key.strip()
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = open_client(config.base_url)
        self._manners: dict[str, Manners] = {}  # by model, of those that are strict

    async def answer(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        parser, watch = chat_completion_parser(), _Watch(self._config)
        is_empty = True
        async with aclosing(self._receive(turn, watch)) as received:
            async for data in received:
                if text := parser.feed(data):
                    is_empty = False
                    yield text
                if parser.reason or parser.is_over:  # nobody waits for [DONE]
                    break
                watch.note(parser.tokens)
        if rest := parser.stop() if parser.reason or parser.is_over else parser.close():
            is_empty = False
            yield rest
        finish = _judge(parser, is_empty, self._config.api_key)
        if finish is not None:
            yield finish

    async def close(self) -> None:
        await self._client.aclose()

    async def _receive(self, turn: Turn, watch: "_Watch") -> AsyncGenerator[bytes, None]:
        """Send the request and yield the bytes of its answer. Raises ResponderFailed."""
        try:
            response = await self._ask(turn, watch)
            async with aclosing(response), aclosing(response.aiter_bytes()) as chunks:
                while (data := await watch.limit(anext(chunks, None))) is not None:
                    yield data
        except httpx2.HTTPError as fault:
            raise _unreachable(fault, self._url) from fault

    async def _ask(self, turn: Turn, watch: "_Watch") -> httpx2.Response:
        """Return the open answer of a model that took the request, as it wants its messages."""
        persona = self._config.personas.get(turn.conversation.ai["id"]) or Persona("")
        model = persona.model or self._config.model
        while True:
            manners = self._manners.get(model, Manners())
            messages = chat_messages(persona.prompt, turn, manners)
            params = {**self._config.params, **persona.params}
            body = {**params, "model": model, "messages": messages, "stream": True}
            request = self._client.build_request("POST", self._url, json=body, headers=self._headers)
            response = await watch.limit(self._client.send(request, stream=True))
            if response.status_code == httpx2.codes.OK:
                return response
            async with aclosing(response):
                refusal = await refusal_of(response, self._config.api_key)
            learned = manners.after(str(refusal))
            if chat_messages(persona.prompt, turn, learned) == messages:
                raise refusal
            log.info("the model's template is strict", model=model, refusal=str(refusal))
            self._manners[model] = learned


class _Watch:
    """Keeps the deadlines of one answer: of its first token, between two tokens, and of the whole."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + config.answer_timeout
        self._deadline = self._now() + config.first_token_timeout
        self._tokens = 0

    def note(self, tokens: int) -> None:
        """Hear how many tokens have come so far. Comments bring none."""
        if tokens > self._tokens:
            self._tokens = tokens
            self._deadline = self._now() + self._config.idle_timeout

    async def limit(self, awaited: Awaitable[T]) -> T:
        """Await it up to the next deadline. Raises ResponderFailed then."""
        try:
            async with asyncio.timeout_at(min(self._deadline, self._end)):
                return await awaited
        except TimeoutError as fault:
            raise ResponderFailed(self._complaint(), FailureKind.TIMEOUT) from fault

    def _complaint(self) -> str:
        config = self._config
        if self._deadline > self._end:
            return f"the answer was not finished within {config.answer_timeout:g} s"
        if self._tokens:
            return f"the model stopped writing for {config.idle_timeout:g} s"
        return f"the model wrote nothing within {config.first_token_timeout:g} s"


def _endpoint(base_url: str) -> httpx2.URL:
    """Add the path of the chat completions; a query (Azure's api-version) stays behind it."""
    url = httpx2.URL(base_url)
    return url.copy_with(path=url.path.rstrip("/") + "/chat/completions")


def _judge(parser: StreamParser, is_empty: bool, secret: str) -> Finish | None:
    """Decide whether the answer is whole (None), or why not; `secret` is told nobody.

    Raises ResponderFailed where nothing tells.
    """
    if parser.reason is None or (parser.finish is None and parser.reason != _WHOLE):
        raise _broken(parser, secret)
    if is_empty:
        raise ResponderFailed("the model gave an answer in which nothing can be shown", FailureKind.EMPTY)
    return parser.finish


def _broken(parser: StreamParser, secret: str) -> ResponderFailed:
    if parser.fault is not None:
        is_told = parser.fault.code is ErrorCode.UPSTREAM_ERROR
        kind = FailureKind.UPSTREAM_ERROR if is_told else FailureKind.TRUNCATED
        return ResponderFailed(redacted(parser.fault.text, [secret]), kind)
    if parser.reason is not None:
        reason = redacted(parser.reason[:_MAX_REASON], [secret])
        return ResponderFailed(f"the model ended with {reason}", FailureKind.UPSTREAM_ERROR)
    return ResponderFailed("the answer ended without a finish_reason", FailureKind.TRUNCATED)


def _unreachable(fault: httpx2.HTTPError, url: httpx2.URL) -> ResponderFailed:
    """Make the failure of a connection that could not be made, or broke."""
    if isinstance(fault, httpx2.LocalProtocolError):  # its words are the header that cannot be sent: the key
        return ResponderFailed(f"{shown(url)}: ai.api_key cannot be sent as a header", FailureKind.REFUSED)
    kind = FailureKind.TIMEOUT if isinstance(fault, httpx2.TimeoutException) else FailureKind.UNREACHABLE
    return ResponderFailed(f"{shown(url)}: {str(fault) or type(fault).__name__}", kind)
