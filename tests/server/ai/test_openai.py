"""The responder "openai" against a provider that does what the test says."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from server.ai.model_http import UnusableProxy
from server.ai.openai import ModelConfig, OpenAIResponder, Persona
from server.core.retrying import FailureKind
from server.core.turn_rules import Turn
from server.ports import Responder, ResponderFailed
from server.protocol import Finish, MessageType
from tests.server.ai.responder_contract import ResponderContract, message, pieces_of, turn
from tests.server.core.stream_formats import recorded
from tests.support.asynchronous import asynchronous
from tests.support.model_server import FOR_EVER, ModelServer, Request, model_server, piece

DONE = b"data: [DONE]\n\n"
HELLO = (piece(None, role="assistant"), piece("Hel"), piece("lo"), piece(None, "stop"), DONE)
AT_ONCE = 0.1  # seconds within which a connection that is given up has to be closed


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    with model_server() as it:
        yield it


def responder_for(provider: ModelServer, **fields: Any) -> OpenAIResponder:
    return OpenAIResponder(ModelConfig(**{"base_url": f"{provider.url}/v1", "model": "m"} | fields))


async def told(responder: Responder, to: Turn | None = None) -> list[str | Finish]:
    try:
        return await pieces_of(responder, to or turn("Hi"))
    finally:
        await responder.close()


async def failure(responder: Responder) -> tuple[list[str | Finish], ResponderFailed]:
    """What came before the failure, and the failure."""
    pieces: list[str | Finish] = []
    try:
        with pytest.raises(ResponderFailed) as caught:
            async with aclosing(responder.answer(turn("Hi"))) as answer:
                async for each in answer:
                    pieces.append(each)
        return pieces, caught.value
    finally:
        await responder.close()


class TestOpenAIResponder(ResponderContract):
    @pytest.fixture(autouse=True)
    def _provider(self, provider: ModelServer) -> None:
        self.provider = provider
        provider.reply(*HELLO)

    async def make(self) -> Responder:
        return responder_for(self.provider)


@asynchronous
async def test_the_request_is_the_turn_with_its_history_and_the_personas_prompt(
    provider: ModelServer,
) -> None:
    provider.reply(*HELLO)
    history = [
        message(1, MessageType.AI_RESPONSE, "I am Alex."),
        message(2, MessageType.CHAT_MESSAGE, "Oh?"),
        message(3, MessageType.AI_RESPONSE, "Yes."),
    ]
    personas = {"ai_alex": Persona("You are Alex.")}
    params = {"temperature": 0.7, "stop": ["\n\n"], "stream": False, "messages": [], "model": "another"}
    responder = responder_for(provider, api_key="sk-1", params=params, personas=personas)
    assert await told(responder, turn("One", "Two\u2028", history=history)) == ["Hel", "lo"]
    request = provider.wait_for_request()
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.body == {
        "model": "m",
        "stream": True,
        "temperature": 0.7,
        "stop": ["\n\n"],
        "messages": [
            {"role": "system", "content": "You are Alex."},
            {"role": "assistant", "content": "I am Alex."},
            {"role": "user", "content": "Oh?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "One"},
            {"role": "user", "content": "Two\u2028"},
        ],
    }


@asynchronous
async def test_a_persona_may_have_its_own_model_and_params(provider: ModelServer) -> None:
    provider.reply(*HELLO)
    personas = {"ai_alex": Persona("", "big", {"temperature": 1.5, "top_p": 0.5})}
    await told(responder_for(provider, params={"temperature": 0.1, "max_tokens": 9}, personas=personas))
    body = provider.wait_for_request().body
    assert body["model"] == "big"
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1.5, 0.5, 9)


@asynchronous
async def test_without_a_key_or_a_persona_nothing_is_sent_in_their_place(provider: ModelServer) -> None:
    provider.reply(*HELLO)
    await told(responder_for(provider))
    request = provider.wait_for_request()
    assert "authorization" not in request.headers
    assert [it["role"] for it in request.body["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("/v1/", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/openai/deployments/x?api-version=1", "/openai/deployments/x/chat/completions?api-version=1"),
    ],
)
def test_the_path_is_added_to_any_base(provider: ModelServer, base: str, target: str) -> None:
    @asynchronous
    async def run() -> None:
        provider.reply(*HELLO)
        await told(responder_for(provider, base_url=provider.url + base))

    run()
    assert provider.wait_for_request().line == f"POST {target} HTTP/1.1"


@asynchronous
async def test_each_piece_is_told_before_the_next_one_is_made(provider: ModelServer) -> None:
    provider.reply(piece("Hel"), FOR_EVER)
    responder = responder_for(provider)
    async with aclosing(responder.answer(turn("Hi"))) as pieces:
        assert await anext(pieces) == "Hel"
    await responder.close()


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_after_the_finish_reason_nothing_is_waited_for(provider: ModelServer, reason: str) -> None:
    provider.reply(piece("Hel"), piece("lo <", reason), FOR_EVER)

    @asynchronous
    async def run() -> None:
        expected: list[str | Finish] = ["Hel", "lo ", "<"]
        assert await told(responder_for(provider)) == expected + (
            [] if reason == "stop" else [Finish(reason)]
        )
        assert provider.wait_for_request().gone.wait(2)

    run()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (recorded.OPENAI, None),
        (recorded.MISTRAL, None),
        (recorded.OPENAI_REFUSAL, Finish.CONTENT_FILTER),
        (recorded.AZURE, Finish.CONTENT_FILTER),
        (recorded.VLLM, Finish.LENGTH),
        (recorded.OPENROUTER, FailureKind.UPSTREAM_ERROR),
        (recorded.LLAMA_CPP, FailureKind.UPSTREAM_ERROR),
        (recorded.VLLM_ERROR, FailureKind.UPSTREAM_ERROR),
        (recorded.DEEPSEEK, FailureKind.UPSTREAM_ERROR),
        (recorded.TOOL_CALL, FailureKind.UPSTREAM_ERROR),
        (recorded.QWEN_IN_LM_STUDIO, FailureKind.TRUNCATED),
        (recorded.CUT_OFF_EVENT, FailureKind.TRUNCATED),
        (recorded.PLAIN_EVENTS, FailureKind.TRUNCATED),
    ],
)
def test_real_streams_are_whole_or_not_by_their_finish_reason(
    provider: ModelServer, stream: recorded.Recorded, expected: Finish | FailureKind | None
) -> None:
    body = stream.body("\r\n")
    provider.reply(*(body[at : at + 11] for at in range(0, len(body), 11)))

    @asynchronous
    async def run() -> None:
        responder = responder_for(provider)
        if isinstance(expected, FailureKind):
            pieces, fault = await failure(responder)
            assert fault.kind is expected
        else:
            pieces = await told(responder)
            if expected is not None:
                assert pieces.pop() is expected
        assert "".join(pieces) == ("" if stream is recorded.PLAIN_EVENTS else stream.text)

    run()


@pytest.mark.parametrize(
    ("steps", "ends", "kind"),
    [
        ((piece("Hel"), piece("lo")), True, FailureKind.TRUNCATED),
        ((piece("Hello"), DONE), True, FailureKind.TRUNCATED),
        ((piece("Hello"), piece(None, ""), DONE), True, FailureKind.TRUNCATED),
        ((piece("Hello"),), False, FailureKind.UNREACHABLE),
        ((piece("Hello"), b"data: {oh\n\n", piece(None, "stop")), True, FailureKind.TRUNCATED),
        ((piece("Hello"), b"data: " + b"x" * 70_000), True, FailureKind.TRUNCATED),
        ((piece("Hello"), piece(None, "model_length")), True, FailureKind.UPSTREAM_ERROR),
    ],
)
def test_a_truncated_answer_is_never_taken_for_a_whole_one(
    provider: ModelServer, steps: tuple[bytes, ...], ends: bool, kind: FailureKind
) -> None:
    provider.reply(*steps, ends=ends)

    @asynchronous
    async def run() -> None:
        pieces, fault = await failure(responder_for(provider))
        assert "".join(pieces) == "Hello"
        assert fault.kind is kind

    run()


@pytest.mark.parametrize(
    "steps",
    [
        (piece(None, reasoning="Hm"), piece(None, "stop")),
        (piece(None, reasoning_content="Hm"), piece(None, "length")),
        (piece("<think>"), piece("Hm</think>"), piece("\n", "stop")),
        (piece("<think>Hm", "length"),),
        (piece(" \n"), piece("", "stop")),
        (piece("\u200b"), piece("\u200d", "stop")),
        (piece(None, "content_filter"),),
    ],
)
def test_an_answer_without_visible_text_is_a_failure(provider: ModelServer, steps: tuple[bytes, ...]) -> None:
    provider.reply(*steps)

    @asynchronous
    async def run() -> None:
        pieces, fault = await failure(responder_for(provider))
        assert (pieces, fault.kind) == ([], FailureKind.EMPTY)

    run()


COMMENTS = (b": keep-alive\n\n", 0.05) * 100
THOUGHTS = (piece(None, reasoning="Hm"), 0.05) * 100


@pytest.mark.parametrize(
    ("reply", "timeouts", "words"),
    [
        ({"head_after": FOR_EVER}, {"first_token_timeout": 0.3}, "wrote nothing within 0.3 s"),
        ({"steps": COMMENTS}, {"first_token_timeout": 0.3}, "wrote nothing within 0.3 s"),
        (
            {"steps": (piece(None, role="assistant"), *COMMENTS)},
            {"first_token_timeout": 0.3},
            "wrote nothing",
        ),
        ({"steps": (b"data: {", FOR_EVER)}, {"first_token_timeout": 0.3}, "wrote nothing within 0.3 s"),
        ({"steps": (piece("Hi"), FOR_EVER)}, {"idle_timeout": 0.3}, "stopped writing for 0.3 s"),
        ({"steps": (piece("Hi"), *COMMENTS)}, {"idle_timeout": 0.3}, "stopped writing for 0.3 s"),
        ({"steps": THOUGHTS}, {"idle_timeout": 0.2, "answer_timeout": 0.5}, "not finished within 0.5 s"),
        ({"steps": (piece("Hi"), 0.05) * 100}, {"answer_timeout": 0.5}, "not finished within 0.5 s"),
        ({"head_after": FOR_EVER}, {"answer_timeout": 0.3}, "not finished within 0.3 s"),
    ],
)
def test_a_slow_model_is_given_up_and_its_connection_closed(
    provider: ModelServer, reply: dict[str, Any], timeouts: dict[str, float], words: str
) -> None:
    provider.reply(*reply.pop("steps", ()), **reply)

    @asynchronous
    async def run() -> None:
        began = time.monotonic()
        _, fault = await failure(responder_for(provider, **timeouts))
        assert fault.kind is FailureKind.TIMEOUT
        assert words in str(fault)
        assert max(timeouts.values()) <= time.monotonic() - began < max(timeouts.values()) + 1
        assert provider.wait_for_request().gone.wait(2)

    run()


@asynchronous
async def test_thoughts_keep_a_slow_model_alive(provider: ModelServer) -> None:
    provider.reply(*THOUGHTS[:20], *HELLO)
    responder = responder_for(provider, first_token_timeout=0.3, idle_timeout=0.3)
    assert await told(responder) == ["Hel", "lo"]


@asynchronous
async def test_a_reader_who_takes_his_time_is_no_slow_model(provider: ModelServer) -> None:
    provider.reply(*HELLO)
    responder = responder_for(provider, idle_timeout=0.1)
    async with aclosing(responder.answer(turn("Hi"))) as answer:
        text = ""
        async for each in answer:
            text += each
            await asyncio.sleep(0.3)
    assert text == "Hello"
    await responder.close()


@pytest.mark.parametrize(
    ("steps", "head_after"),
    [((), FOR_EVER), ((b": waiting\n\n", FOR_EVER), 0.0), ((piece("Hel"), FOR_EVER), 0.0)],
    ids=["before the head", "before the first token", "in the middle"],
)
def test_a_cancel_closes_the_connection_at_once(
    provider: ModelServer, steps: tuple[bytes, ...], head_after: float
) -> None:
    provider.reply(*steps, head_after=head_after)

    @asynchronous
    async def run() -> None:
        responder = responder_for(provider)
        assert await shortest(lambda: cancelled(responder, provider)) < AT_ONCE
        await responder.close()

    run()


async def cancelled(responder: Responder, provider: ModelServer) -> float:
    """Seconds from the cancel until the provider sees that the connection is gone."""
    task = asyncio.create_task(pieces_of(responder, turn("Hi")))
    request = await asyncio.to_thread(provider.wait_for_request)
    await asyncio.sleep(0.1)
    cancelled_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return await gone_after(request, cancelled_at)


@asynchronous
async def test_closing_an_answer_between_two_pieces_closes_the_connection_at_once(
    provider: ModelServer,
) -> None:
    provider.reply(piece("Hel"), FOR_EVER)
    responder = responder_for(provider)

    async def closed() -> float:
        async with aclosing(responder.answer(turn("Hi"))) as answer:
            assert await anext(answer) == "Hel"
            closed_at = time.monotonic()
        return await gone_after(provider.wait_for_request(), closed_at)

    assert await shortest(closed) < AT_ONCE
    await responder.close()


async def shortest(measure: Callable[[], Awaitable[float]]) -> float:
    """The best of three: a machine that is busy with something else says nothing about the server."""
    return min([await measure() for _ in range(3)])


async def gone_after(request: Request, given_up_at: float) -> float:
    assert await asyncio.to_thread(request.gone.wait, 5)
    return request.gone_at - given_up_at


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REFUSED),
        (401, FailureKind.REFUSED),
        (402, FailureKind.REFUSED),
        (403, FailureKind.REFUSED),
        (404, FailureKind.REFUSED),
        (422, FailureKind.REFUSED),
        (408, FailureKind.UPSTREAM_ERROR),
        (409, FailureKind.UPSTREAM_ERROR),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.UPSTREAM_ERROR),
        (503, FailureKind.UPSTREAM_ERROR),
        (529, FailureKind.UPSTREAM_ERROR),
        (202, FailureKind.UPSTREAM_ERROR),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(
    provider: ModelServer, status: int, kind: FailureKind
) -> None:
    error = {"error": {"type": "some_error", "message": "Because\nof sk-secret."}}
    provider.reply(json.dumps(error).encode(), status=status, headers={"Retry-After": "7"})

    @asynchronous
    async def run() -> None:
        pieces, fault = await failure(responder_for(provider, api_key="sk-secret"))
        assert (pieces, fault.kind, fault.retry_after) == ([], kind, 7.0)
        url = f"{provider.url}/v1/chat/completions"
        assert str(fault) == f"{url} answered {status}: some_error: Because of ***."

    run()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"error": "model \\"x\\" not found"}', 'model "x" not found'),
        (b"<html>\r\nBad Gateway</html>", "<html> Bad Gateway</html>"),
        (b"", "no reason given"),
        (b"x" * 100_000, "x" * 300),
    ],
)
def test_a_refusal_of_any_shape_is_told_in_one_line(provider: ModelServer, body: bytes, words: str) -> None:
    provider.reply(*([body] if body else []), status=404)

    @asynchronous
    async def run() -> None:
        _, fault = await failure(responder_for(provider))
        assert str(fault).endswith(f" answered 404: {words}")

    run()


@asynchronous
async def test_a_refusal_that_never_ends_is_not_waited_for_and_its_connection_closed(
    provider: ModelServer,
) -> None:
    provider.reply(b"Go away", FOR_EVER, status=403)
    responder = responder_for(provider)
    began = time.monotonic()
    with pytest.raises(ResponderFailed, match=r"Go away$") as caught:
        await pieces_of(responder, turn("Hi"))
    assert caught.value.kind is FailureKind.REFUSED
    assert time.monotonic() - began < 5
    assert await asyncio.to_thread(provider.wait_for_request().gone.wait, 2)
    await responder.close()


@asynchronous
async def test_an_endless_refusal_is_not_read_to_its_end(provider: ModelServer) -> None:
    provider.reply(*(b"x" * 1000, 0.001) * 5000, status=500)
    responder = responder_for(provider)
    with pytest.raises(ResponderFailed):
        await pieces_of(responder, turn("Hi"))
    assert await asyncio.to_thread(provider.wait_for_request().gone.wait, 1)
    await responder.close()


KEY = "sk-0123456789abcdef"
ERROR = {"error": {"message": f"Incorrect API key provided: {KEY}"}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, json.dumps(ERROR).encode()),
        (401, b"x" * 290 + KEY.encode()),
        (200, b"data: " + json.dumps(ERROR).encode() + b"\n\n"),
        (200, b"data: " + json.dumps({"error": "x" * 290 + KEY}).encode() + b"\n\n"),
        (200, piece("Hi", f"{KEY}")),
        (200, piece("Hi", "x" * 60_000)),
    ],
)
def test_whatever_a_provider_says_the_key_is_not_told_on(
    provider: ModelServer, status: int, body: bytes
) -> None:
    provider.reply(body, status=status)

    @asynchronous
    async def run() -> None:
        _, fault = await failure(responder_for(provider, api_key=KEY))
        assert KEY[:9] not in str(fault).lower()
        assert len(str(fault)) < 500

    run()


@asynchronous
async def test_a_strict_model_is_asked_again_at_once_as_it_wants_it_and_from_then_on(
    provider: ModelServer,
) -> None:
    closing = {"Connection": "close"}
    alternate = b'{"error": {"message": "Conversation roles must alternate user/assistant"}}'
    provider.reply(alternate, status=400, headers=closing)
    provider.reply(b'{"error": {"message": "System role not supported"}}', status=500, headers=closing)
    provider.reply(*HELLO)
    responder = responder_for(provider, personas={"ai_alex": Persona("Be Alex.")})
    assert await pieces_of(responder, turn("One", "Two")) == ["Hel", "lo"]
    assert await told(responder, turn("Three", "Four")) == ["Hel", "lo"]
    asked = [[(it["role"], it["content"]) for it in r.body["messages"]] for r in provider.requests]
    assert asked == [
        [("system", "Be Alex."), ("user", "One"), ("user", "Two")],
        [("system", "Be Alex."), ("user", "One\nTwo")],
        [("user", "Be Alex.\nOne\nTwo")],
        [("user", "Be Alex.\nThree\nFour")],
    ]


@asynchronous
async def test_a_refusal_that_no_other_order_of_messages_mends_is_told(provider: ModelServer) -> None:
    provider.reply(b'{"error": {"message": "Conversation roles must alternate user/assistant"}}', status=400)
    _, fault = await failure(responder_for(provider))
    assert fault.kind is FailureKind.REFUSED
    assert len(provider.requests) == 1


@asynchronous
async def test_a_redirect_without_an_address_is_a_refusal(provider: ModelServer) -> None:
    provider.reply(b"moved", status=302)
    _, fault = await failure(responder_for(provider))
    assert str(fault).endswith("answered 302: moved")


@asynchronous
async def test_a_redirect_is_not_followed_but_told(provider: ModelServer) -> None:
    headers = {"Location": "https://elsewhere.example/v1/chat/completions"}
    provider.reply(status=308, headers=headers)
    _, fault = await failure(responder_for(provider, api_key="sk-secret"))
    assert fault.kind is FailureKind.REFUSED
    assert "set ai.base_url" in str(fault)
    assert headers["Location"] in str(fault)
    assert len(provider.requests) == 1


@asynchronous
async def test_who_does_not_listen_is_unreachable(provider: ModelServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://user:password@127.0.0.1:{free.getsockname()[1]}"
    _, fault = await failure(responder_for(provider, base_url=url))
    assert fault.kind is FailureKind.UNREACHABLE
    assert "password" not in str(fault)


@asynchronous
async def test_a_key_that_no_header_can_hold_is_told_but_not_shown(provider: ModelServer) -> None:
    _, fault = await failure(responder_for(provider, api_key="sk-\nsecret"))
    assert fault.kind is FailureKind.REFUSED
    assert "ai.api_key" in str(fault)
    assert "secret" not in str(fault)


@asynchronous
async def test_an_end_of_line_behind_the_key_is_not_part_of_it(provider: ModelServer) -> None:
    provider.reply(*HELLO)
    await told(responder_for(provider, api_key="sk-1\n"))
    assert provider.wait_for_request().headers["authorization"] == "Bearer sk-1"


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    provider: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", provider.url)
    with model_server() as local:
        for it in (provider, local):
            it.reply(*HELLO)

        @asynchronous
        async def run() -> None:
            for host in ("127.0.0.1", "localhost"):
                base_url = local.url.replace("127.0.0.1", host)
                assert await told(responder_for(local, base_url=base_url)) == ["Hel", "lo"]
            assert await told(responder_for(local, base_url="http://model.example/v1")) == ["Hel", "lo"]

        run()
        assert len(local.requests) == 2
    assert [it.line for it in provider.requests] == ["POST http://model.example/v1/chat/completions HTTP/1.1"]


def test_a_proxy_that_cannot_be_used_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "gopher://127.0.0.1:1")
    with pytest.raises(UnusableProxy, match="proxy"):
        OpenAIResponder(ModelConfig("https://model.example/v1", "m"))


@asynchronous
async def test_five_hundred_answers_at_a_time_wait_for_none_of_each_other(provider: ModelServer) -> None:
    provider.reply(piece("Hel"), 0.5, *HELLO[1:])
    responder = responder_for(provider)
    began = time.monotonic()
    answers = await asyncio.gather(*(pieces_of(responder, turn("Hi")) for _ in range(500)))
    assert len(answers) == 500
    assert time.monotonic() - began < 10
    await responder.close()
