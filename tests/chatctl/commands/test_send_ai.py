import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.chatctl.conftest import Run
from tests.chatctl.rest_server import RestServer

ROUTE = "POST /api/send-ai-message"
STREAM = "POST /api/stream-ai-message"
ACK: dict[str, Any] = {
    "type": "ACK",
    "message_id": "m1",
    "conversation_id": "c",
    "seq": 7,
    "timestamp": "2026-01-01T00:00:00.000Z",
    "data": "Message processed successfully",
    "delivered_to": 2,
    "duplicate": False,
}


def test_it_posts_the_message_and_tells_its_seq_and_devices(chatctl: Run, rest: RestServer) -> None:
    rest.answers[ROUTE] = (200, ACK)
    assert chatctl("send-ai", "c", "Hi! How's your day?") == (
        0,
        "saved as seq 7, queued to 2 devices (message_id m1)\n",
        "",
    )
    assert rest.requests[0].body == {"conversation_id": "c", "message": "Hi! How's your day?"}


def test_options_reach_the_server(chatctl: Run, rest: RestServer) -> None:
    rest.answers[ROUTE] = (200, ACK)
    options = ["--typing", "--message-id", "m1", "--ai-id", "ai_alex", "--api-key", "k"]
    assert chatctl("send-ai", "c", "Hi", *options).code == 0
    assert rest.requests[0].body == {
        "conversation_id": "c",
        "message": "Hi",
        "message_id": "m1",
        "ai_id": "ai_alex",
        "simulate_typing": True,
    }
    assert rest.requests[0].key == "Bearer k"


def test_a_duplicate_is_told(chatctl: Run, rest: RestServer) -> None:
    rest.answers[ROUTE] = (200, ACK | {"duplicate": True, "delivered_to": 1})
    assert chatctl("send-ai", "c", "Hi").out.startswith("was saved before as seq 7, queued to 1 device ")


def test_json_prints_the_servers_answer(chatctl: Run, rest: RestServer) -> None:
    rest.answers[ROUTE] = (200, ACK)
    assert json.loads(chatctl("send-ai", "c", "Hi", "--json").out) == ACK


def test_a_dash_reads_standard_input(chatctl: Run, rest: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    rest.answers[ROUTE] = (200, ACK)
    for end in ("\n", "\r\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"two\nlines{end}"))
        assert chatctl("send-ai", "c", "-").code == 0
    assert [request.body["message"] for request in rest.requests] == ["two\nlines"] * 3


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [(404, "Unknown conversation", "not_found"), (422, "Message cannot be empty", "empty_message")],
)
def test_a_refusal_is_one_line_and_exit_code_1(
    chatctl: Run, rest: RestServer, status: int, text: str, code: str
) -> None:
    rest.refuse(ROUTE, status, text, code)
    assert chatctl("send-ai", "c", "x") == (1, "", f"chatctl: {text} ({code})\n")


def test_a_missing_key_is_told_with_the_option_that_gives_it(chatctl: Run, rest: RestServer) -> None:
    rest.refuse(ROUTE, 401, "An API key is needed", "unauthorized")
    code, _, err = chatctl("send-ai", "c", "x")
    assert code == 1
    assert "give the server's key with --api-key or CHATCTL_API_KEY" in err


def test_a_wrong_key_is_not_asked_for_again(chatctl: Run, rest: RestServer) -> None:
    rest.refuse(ROUTE, 401, "this is no API key of the server", "unauthorized")
    assert chatctl("send-ai", "c", "x", "--api-key", "k").err == (
        "chatctl: this is no API key of the server; check --api-key or CHATCTL_API_KEY (unauthorized)\n"
    )


def test_a_refusals_text_cannot_steer_the_terminal(chatctl: Run, rest: RestServer) -> None:
    rest.refuse(ROUTE, 404, "\x1b[2J\u202e", "not_found")
    assert chatctl("send-ai", "c", "x").err == "chatctl: \\x1b[2J\\u202e (not_found)\n"


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (502, b"<html>Bad gateway", "the server answered 502 Bad Gateway"),
        (200, b"<html>Hello", "{url} does not answer like a chat server"),
    ],
)
def test_something_else_behind_the_url_is_told(
    chatctl: Run, rest: RestServer, status: int, body: bytes, line: str
) -> None:
    rest.answers[ROUTE] = (status, body)
    assert chatctl("send-ai", "c", "x") == (1, "", f"chatctl: {line.format(url=rest.url)}\n")


def test_an_unreachable_server_is_one_line_and_exit_code_1(chatctl: Run) -> None:
    assert chatctl("send-ai", "c", "x", "--url", "http://127.0.0.1:1") == (
        1,
        "",
        "chatctl: cannot reach http://127.0.0.1:1: Connection refused\n",
    )


def test_a_proxy_is_not_asked_the_way_to_this_machine(
    chatctl: Run, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    rest.answers[ROUTE] = (200, ACK)
    assert chatctl("send-ai", "c", "Hi").code == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ws://127.0.0.1:8000", "http://"])
def test_what_is_no_url_of_a_server_exits_2(chatctl: Run, url: str) -> None:
    code, _, err = chatctl("send-ai", "c", "x", "--url", url)
    assert (code, err) == (2, f"chatctl: no URL of a server: {url} (it looks like http://host:port)\n")


def test_stream_sends_word_by_word(chatctl: Run, rest: RestServer) -> None:
    rest.answers[STREAM] = (200, ACK)
    assert chatctl("send-ai", "c", "Hi  you there", "--stream", "--ai-id", "ai_alex").code == 0
    assert rest.requests[0].body == ["Hi", "  you", " there"]
    assert rest.requests[0].query == {"conversation_id": "c", "ai_id": "ai_alex"}


def test_stream_passes_standard_input_on_as_it_comes(rest: RestServer) -> None:
    rest.answers[STREAM] = (200, ACK)
    command = [sys.executable, "-m", "chatctl", "send-ai", "c", "-", "--stream"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"CHATCTL_URL": rest.url}
    ) as process:
        out, _ = process.communicate("Grüße\r\naus Köln\r\n".encode(), timeout=20)
    assert b"saved as seq 7" in out
    assert "".join(rest.requests[0].body) == "Grüße\r\naus Köln"


def test_an_answer_that_was_stopped_is_told(chatctl: Run, rest: RestServer) -> None:
    rest.answers[STREAM] = (200, ACK | {"finish": "cancelled"})
    assert chatctl("send-ai", "c", "x", "--stream").out.startswith("saved (stopped) as seq 7, ")
    rest.answers[STREAM] = (200, {k: v for k, v in ACK.items() if k != "seq"} | {"finish": "cancelled"})
    assert chatctl("send-ai", "c", "x", "--stream").out == "stopped before it had begun: nothing was saved\n"


def test_typing_and_stream_exclude_each_other(chatctl: Run) -> None:
    assert chatctl("send-ai", "c", "x", "--stream", "--typing").code == 2
