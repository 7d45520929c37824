import json

from tests.chatctl.conftest import Run
from tests.chatctl.rest_server import RestServer
from tests.support.server import RunningServer


def test_a_healthy_server_acks_in_time(chatctl: Run, server: RunningServer) -> None:
    code, out, err = chatctl("check", "--url", server.url)
    assert (code, err) == (0, "")
    assert out.startswith("ok: healthy, ACK in ")
    report = json.loads(chatctl("check", "--url", server.url, "--json").out)
    assert report["ok"] is True
    assert 0 < report["ack_ms"] < report["max_ack_ms"]
    assert report["health"]["status"] == "ok"


def test_an_ack_above_the_limit_fails(chatctl: Run, server: RunningServer) -> None:
    code, out, err = chatctl("check", "--url", server.url, "--max-ack-ms", "0")
    assert (code, out) == (1, "")
    assert "above 0 ms" in err
    failed = chatctl("check", "--url", server.url, "--max-ack-ms", "0", "--json")
    assert (failed.code, json.loads(failed.out)["ok"], failed.err) == (1, False, "")


def test_an_unhealthy_server_fails(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /health"] = (503, {"status": "draining"})
    assert chatctl("check") == (1, "", "chatctl: the server is draining\n")
    report = json.loads(chatctl("check", "--json").out)
    assert (report["ok"], report["fault"], report["health"]["status"]) == (
        False,
        "the server is draining",
        "draining",
    )


def test_what_is_no_chat_server_fails(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /health"] = (503, ["not", "ours"])
    assert chatctl("check") == (1, "", "chatctl: it does not tell its health like a chat server\n")


def test_a_server_without_websockets_fails(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /health"] = (200, {"status": "ok"})
    code, out, err = chatctl("check")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "cannot open a WebSocket" in err


def test_an_unreachable_server_fails(chatctl: Run) -> None:
    code, _, err = chatctl("check", "--url", "http://127.0.0.1:1")
    assert (code, err) == (1, "chatctl: cannot reach http://127.0.0.1:1: Connection refused\n")


def test_a_token_that_is_none_exits_2(chatctl: Run) -> None:
    assert chatctl("check", "--token", "nonsense").code == 2
