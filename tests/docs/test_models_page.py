"""docs/models.md: its settings make a companion, and each of its clients streams into a conversation."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.core.stream_formats import recorded
from tests.support.device import Connect
from tests.support.installed_program import install
from tests.support.model_server import ModelServer, model_server, piece
from tests.support.server import RunningServer, running_server

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
CONVERSATION = "conv_user123_ai_alex"
SDKS = ("openai>=3,<4", "anthropic>=2,<3", "ollama>=0.6,<0.7")
OLLAMA = recorded.Recorded(  # without what Ollama's own client stumbles over: blank lines, U+2028
    "ndjson",
    (
        recorded.line(message={"role": "assistant", "content": "Sal"}, done=False),
        recorded.line(message={"role": "assistant", "content": "ut"}, done=False),
        recorded.line(message={"role": "assistant", "content": ""}, done=True, done_reason="length"),
    ),
    "Salut",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def client_of(package: str) -> str:
    return next(code for code in blocks("python") if re.search(rf"^(from|import) {package}\b", code, re.M))


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    with model_server() as it:
        yield it


@pytest.mark.parametrize("toml", blocks("toml"))
def test_the_settings_on_the_page_make_a_companion(
    toml: str, tmp_path: Path, provider: ModelServer, connect_device: Connect
) -> None:
    provider.reply(piece("Hey, "), piece("you!"), piece(None, "stop"))
    (tmp_path / "config.toml").write_text(toml, encoding="utf-8")
    quick: dict[str, Any] = {"ai__typing_delay": "[0, 0]", "ai__turn_wait": 0.1}
    with running_server(tmp_path, ai__base_url=provider.url, **quick) as server:
        assert "warning" not in server.errors
        phone = connect_device(server, "phone", conversation=CONVERSATION)
        phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "Hello."})
        assert phone.receive_until("AI_RESPONSE")["data"] == "Hey, you!"
    ai = tomllib.loads(toml)["ai"]
    request = provider.wait_for_request()
    assert request.body["model"] == ai["model"]
    prompts = [it["content"] for it in request.body["messages"] if it["role"] == "system"]
    assert prompts == [it["prompt"] for it in ai.get("personas", ()) if it["id"] == "ai_alex"]
    assert request.headers.get("authorization") == (f"Bearer {ai['api_key']}" if "api_key" in ai else None)


def test_ten_lines_are_enough_for_each_client() -> None:
    codes = blocks("python")
    assert len(codes) == 3
    assert all(sum(1 for line in code.splitlines() if line.strip()) <= 10 for code in codes)


@pytest.fixture(scope="module")
def programs(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return install(pytestconfig.cache.mkdir("provider-clients"), *SDKS)


@pytest.mark.parametrize(
    ("package", "stream"),
    [("openai", recorded.VLLM), ("anthropic", recorded.ANTHROPIC), ("ollama", OLLAMA)],
)
def test_a_providers_client_streams_into_a_conversation(
    package: str,
    stream: recorded.Recorded,
    programs: Path,
    tmp_path: Path,
    provider: ModelServer,
    connect_device: Connect,
    server: RunningServer,
) -> None:
    phone = connect_device(server, "phone", conversation=CONVERSATION)
    media_type = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}[stream.format]
    lines = (line.encode() + b"\n" for line in stream.lines)
    provider.reply(*lines, headers={"Content-Type": media_type})
    client = tmp_path / "client.py"
    client.write_text(client_of(package), encoding="utf-8")
    ended = subprocess.run(
        [programs / "python", client, server.url, CONVERSATION],
        env=environment(provider),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert '"finish":"length"' in ended.stdout, ended.stderr
    assert phone.receive_until("AI_RESPONSE_CHUNK")["data"]["offset"] == 0
    answer = phone.receive_until("AI_RESPONSE")
    assert (answer["data"], answer["finish"]) == (stream.text, "length")


def environment(provider: ModelServer) -> dict[str, str]:
    without_proxies = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return without_proxies | {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "sk-1",
        "ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-2",
        "OLLAMA_HOST": provider.url,
        "MODEL": f"{provider.url}/v1",
        "KEY": "sk-3",
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("script", blocks("sh"), ids=["text", "events"])
def test_a_shell_streams_into_a_conversation(
    script: str, tmp_path: Path, provider: ModelServer, connect_device: Connect, server: RunningServer
) -> None:
    phone = connect_device(server, "phone", conversation=CONVERSATION)
    provider.reply(*(line.encode() + b"\n" for line in recorded.VLLM.lines))
    model = tmp_path / "my-model"
    model.write_text("#!/bin/sh\nprintf 'cut '; sleep 0.2; printf of\n", encoding="utf-8")
    model.chmod(0o755)
    variables = environment(provider) | {"SERVER": server.url, "CONVERSATION": CONVERSATION}
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"
    ended = subprocess.run(
        ["sh", "-c", script], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert '"type":"ACK"' in ended.stdout, ended.stderr
    assert phone.receive_until("AI_RESPONSE")["data"] == "cut of"
