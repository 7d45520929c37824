"""The responder "openai" against servers that others wrote to take the place of models."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from server.ai.openai import ModelConfig, OpenAIResponder
from server.core.retrying import Backoff, FailureKind
from server.ports import Responder, ResponderFailed
from tests.server.ai.responder_contract import ResponderContract, answer, pieces_of, turn
from tests.support.asynchronous import asynchronous
from tests.support.installed_program import install, serving

LLMOCK = "llmock==0.2.2"
FAKELLM = "fakellm==0.3.5"


@pytest.fixture(scope="module")
def llmock(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert pytestconfig.cache is not None
    programs = install(pytestconfig.cache.mkdir("llmock"), LLMOCK)
    with serving([programs / "llmock", "serve"], tmp_path_factory.mktemp("llmock")) as url:
        yield url


RULES: dict[str, Any] = {
    "version": 1,
    "rules": [
        {
            "when": {"messages_contain": "tool please"},
            "respond": {"tool_calls": [{"name": "f", "arguments": {}}]},
        },
        {"when": {"messages_contain": "error please"}, "respond": {"status": 503, "error": "Overloaded"}},
        {
            "when": {"messages_contain": "story"},
            "respond": {"content": "Once upon a time\u2028there was an end."},
        },
    ],
}


@pytest.fixture(scope="module")
def fakellm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert pytestconfig.cache is not None
    programs = install(pytestconfig.cache.mkdir("fakellm"), FAKELLM)
    folder = tmp_path_factory.mktemp("fakellm")
    (folder / "fakellm.yaml").write_text(json.dumps(RULES), encoding="utf-8")  # JSON is YAML
    with serving([programs / "fakellm", "serve"], folder) as url:
        yield url


def responder_at(url: str, **fields: Any) -> OpenAIResponder:
    return OpenAIResponder(ModelConfig(f"{url}/v1", "gpt-4o-mini", api_key="anything", **fields))


class TestWithLlmock(ResponderContract):
    @pytest.fixture(autouse=True)
    def _server(self, llmock: str) -> None:
        httpx2.post(f"{llmock}/_llmock/reset")
        self.url = llmock

    async def make(self) -> Responder:
        return responder_at(self.url)

    def will(self, **behaviour: Any) -> None:
        """Tells the server how to treat the next request."""
        response = httpx2.post(f"{self.url}/_llmock/scenario", json={"behaviors": [behaviour]})
        assert response.status_code == 201, response.text

    async def failure(self, **fields: Any) -> ResponderFailed:
        responder = responder_at(self.url, **fields)
        with pytest.raises(ResponderFailed) as caught:
            await pieces_of(responder, turn("Tell me a long story"))
        assert await answer(responder, turn("And now?"))  # the next try finds nothing broken
        await responder.close()
        return caught.value

    @asynchronous
    async def test_a_scripted_reply_comes_word_for_word(self) -> None:
        self.will(type="reply", text="Grüße,\n\nund\u2028😀 <b>bis bald</b>")
        responder = await self.make()
        assert await answer(responder, turn("Hi")) == "Grüße,\n\nund\u2028😀 <b>bis bald</b>"
        await responder.close()

    @asynchronous
    async def test_a_stream_that_ends_early_is_truncated(self) -> None:
        self.will(type="stream_fault", kind="truncate", after_chunks=3)
        assert (await self.failure()).kind is FailureKind.TRUNCATED

    @asynchronous
    async def test_a_stream_that_is_cut_is_unreachable(self) -> None:
        self.will(type="stream_fault", kind="disconnect", after_chunks=3)
        assert (await self.failure()).kind is FailureKind.UNREACHABLE

    @asynchronous
    async def test_a_chunk_that_is_no_json_spoils_the_answer(self) -> None:
        self.will(type="stream_fault", kind="malformed", after_chunks=3)
        assert (await self.failure()).kind is FailureKind.TRUNCATED

    @asynchronous
    async def test_a_stream_that_stalls_times_out(self) -> None:
        self.will(type="stream_fault", kind="stall", after_chunks=3, stall_seconds=30)
        assert (await self.failure(idle_timeout=0.5)).kind is FailureKind.TIMEOUT

    @asynchronous
    async def test_a_first_token_that_does_not_come_times_out(self) -> None:
        self.will(type="slow_first_token", seconds=30)
        assert (await self.failure(first_token_timeout=0.5)).kind is FailureKind.TIMEOUT

    @asynchronous
    async def test_a_slow_first_token_is_waited_for(self) -> None:
        self.will(type="slow_first_token", seconds=0.5)
        responder = responder_at(self.url, idle_timeout=0.2)
        assert await answer(responder, turn("Hi"))
        await responder.close()

    @asynchronous
    async def test_a_rate_limit_says_when_to_come_back(self) -> None:
        self.will(type="fail", status=429, retry_after=3)
        fault = await self.failure()
        assert fault.kind is FailureKind.RATE_LIMITED
        assert fault.retry_after == 3

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_refusal_is_one(self, status: int) -> None:
        self.will(type="fail", status=status)

        @asynchronous
        async def run() -> None:
            assert (await self.failure()).kind is FailureKind.REFUSED

        run()

    @asynchronous
    async def test_a_tool_call_is_no_answer(self) -> None:
        self.will(type="reply", tool_calls=[{"name": "f", "arguments": {}}])
        assert (await self.failure()).kind is FailureKind.UPSTREAM_ERROR

    @asynchronous
    async def test_its_verdict_on_a_client_that_tries_again_names_no_fault_of_it(self) -> None:
        self.will(type="stream_fault", kind="truncate", after_chunks=3)
        responder = await self.make()
        with pytest.raises(ResponderFailed):
            await pieces_of(responder, turn("Hi"))
        await asyncio.sleep(Backoff(0.5).pause(1, 0.0))
        assert await answer(responder, turn("Hi"))
        verdict = httpx2.get(f"{self.url}/_llmock/verdict").json()
        assert (verdict["faults_injected"], verdict["errors"]) == (1, 0), verdict
        await responder.close()


class TestWithFakellm(ResponderContract):
    @pytest.fixture(autouse=True)
    def _server(self, fakellm: str) -> None:
        self.url = fakellm

    async def make(self) -> Responder:
        return responder_at(self.url)

    @asynchronous
    async def test_an_answer_comes_word_by_word(self) -> None:
        responder = await self.make()
        pieces = await pieces_of(responder, turn("A story!"))
        assert "".join(pieces) == "Once upon a time\u2028there was an end."
        assert len(pieces) > 3
        await responder.close()

    @asynchronous
    async def test_a_tool_call_is_no_answer(self) -> None:
        responder = await self.make()
        with pytest.raises(ResponderFailed) as caught:
            await pieces_of(responder, turn("A tool please"))
        assert caught.value.kind is FailureKind.UPSTREAM_ERROR
        await responder.close()
