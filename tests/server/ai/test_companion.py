"""A running server whose companion is a model."""

from pathlib import Path

import pytest

from tests.support.device import Connect
from tests.support.model_server import model_server, piece
from tests.support.server import RunningServer, running_server

AT_ONCE = {"ai__typing_delay": "[0, 0]", "ai__turn_wait": 0.1}


def test_three_settings_make_a_companion(tmp_path: Path, connect_device: Connect) -> None:
    with model_server() as provider:
        provider.reply(piece("Nice to "), piece("meet you."), piece(None, "stop"))
        settings = {"ai__responder": "openai", "ai__base_url": f"{provider.url}/v1", "ai__model": "gemma3"}
        with running_server(tmp_path, **AT_ONCE, **settings) as server:
            phone = connect_device(server, "phone")
            phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "Hello."})
            answer = phone.receive_until("AI_RESPONSE")
            assert (answer["message_id"], answer["data"]) == ("answer-1", "Nice to meet you.")
        body = provider.wait_for_request().body
        assert (body["model"], body["messages"]) == ("gemma3", [{"role": "user", "content": "Hello."}])


def test_a_proxy_that_cannot_be_used_is_one_line_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://host")
    ended = RunningServer.attempt(tmp_path, ai__responder="openai", ai__model="m")
    assert ended.returncode == 2
    assert ended.stderr.startswith('chatctl: ai.base_url = "https://api.openai.com/v1": the proxy of')
    assert ended.stderr.count("\n") == 1
