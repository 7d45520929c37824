"""What a hostile or broken client sends to the REST API, against a real server."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from tests.support.server import RunningServer

JSON = {"Content-Type": "application/json"}
NOT_JSON = "the body is not valid JSON"
NOT_AN_OBJECT = "the body must be one JSON object, with Content-Type: application/json"


def post(api: RunningServer, path: str, body: bytes, headers: dict[str, str] = JSON) -> httpx2.Response:
    return httpx2.post(api.url + path, content=body, headers=headers)


def refused(answer: httpx2.Response) -> str:
    """The text of a 422 in the shape that every error has."""
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body.keys() == {"type", "message_id", "data", "error"}
    assert body["error"] == {"code": "validation_failed", "retryable": False}
    text: str = body["data"]
    return text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"nonsense", id="no JSON"),
        pytest.param(b'{"conversation_id":"c","message":"\xff"}', id="no UTF-8"),
        pytest.param('{"conversation_id":"c","message":"x"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"[" * 100_000, id="nesting beyond all reason"),
        pytest.param(b'{"z":' + b"[" * 400 + b"]" * 400 + b"}", id="nesting that others could not read"),
        pytest.param(b'{"z":' + b"9" * 5000 + b"}", id="a giant number"),
        pytest.param(b'{"conversation_id":"c","message":"\\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"message_id":"\\ud800"}', id="a lone surrogate in what the answer repeats"),
        pytest.param(b'{"conversation_id":"c","message":NaN}', id="NaN"),
    ],
)
@pytest.mark.parametrize("path", ["/api/send-ai-message", "/api/conversations", "/api/drain"])
def test_what_is_no_json_is_422(api: RunningServer, path: str, body: bytes) -> None:
    assert refused(post(api, path, body)) == NOT_JSON


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"7"])
def test_what_is_no_object_is_422(api: RunningServer, body: bytes) -> None:
    assert refused(post(api, "/api/send-ai-message", body)) == NOT_AN_OBJECT


@pytest.mark.parametrize("type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_json_under_another_name_is_422_so_that_no_foreign_page_can_send_it_unasked(
    api: RunningServer, type: str
) -> None:
    body = b'{"conversation_id":"c","message":"x"}'
    headers = {"Content-Type": type} if type else {}
    assert refused(post(api, "/api/send-ai-message", body, headers)) == NOT_AN_OBJECT


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("typing", {"conversation_id": "c", "is_typing": "yes"}, "is_typing: "),
        ("typing", {"conversation_id": "c", "is_typing": 1}, "is_typing: "),
        (
            "send-ai-message",
            {"conversation_id": "c", "message": "x", "simulate_typing": 0},
            "simulate_typing: ",
        ),
        ("send-ai-message", {"conversation_id": "c", "message": 7}, "message: "),
        ("send-ai-message", {"conversation_id": "c", "message": "a\0b"}, "message: must not contain NUL"),
        ("send-ai-message", {"conversation_id": "a b", "message": "x"}, "conversation_id: may have letters"),
        ("send-ai-message", {"conversation_id": "..", "message": "x"}, "conversation_id: may have letters, "),
        ("read-receipts", {"conversation_id": "c", "seq": "1"}, "seq: should be a number"),
        ("read-receipts", {"conversation_id": "c", "seq": True}, "seq: should be a number"),
        ("read-receipts", {"conversation_id": "c", "seq": 1.5}, "seq: "),
        ("drain", {"per_second": "7"}, "per_second: should be a number"),
        ("ai-status", {"ai_id": "a", "status": "gone"}, "status: "),
        ("conversations", {"user_id": "u", "ai": {"id": "a"}}, "ai.name: "),
        ("conversations", {"user_id": "u", "ai": {"id": "a", "name": "n" * 201}}, "ai.name: "),
    ],
)
def test_a_wrong_field_is_422_and_named(api: RunningServer, path: str, body: Any, text: str) -> None:
    assert refused(api.post(f"/api/{path}", body)).startswith(text)


def test_what_json_cannot_say_again_gets_into_no_conversation(api: RunningServer) -> None:
    body = b'{"user_id":"dan","ai":{"id":"a","name":"n","extra":[1e999]}}'
    assert "finite" in refused(post(api, "/api/conversations", body))
    assert api.get("/api/conversations?user_id=dan").json()["items"] == []


def test_only_an_identifier_is_repeated_as_the_requests_message_id(api: RunningServer) -> None:
    for message_id, repeated in (("m1", "m1"), ("m" * 200_000, None), ("\x1b[31m", None), (7, None)):
        answer = api.post("/api/send-ai-message", {"message_id": message_id})
        assert (answer.status_code, answer.json()["message_id"]) == (422, repeated)


def test_a_method_that_a_path_does_not_know_is_405_with_all_that_it_knows(api: RunningServer) -> None:
    answer = httpx2.put(api.url + "/api/conversations/c")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET")
    assert answer.json()["type"] == "NACK"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/drain"), ("DELETE", "/api/users/kai")])
def test_a_foreign_page_changes_nothing_though_no_key_is_asked_for(
    api: RunningServer, method: str, path: str, origin: str
) -> None:
    answer = httpx2.request(method, api.url + path, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert api.get("/health").json()["status"] == "ok"


def test_the_servers_own_page_may_call_everything(api: RunningServer) -> None:
    answer = httpx2.delete(api.url + "/api/users/nobody", headers={"Origin": api.url})
    assert answer.status_code == 204


def large_body(declared: bool) -> Iterator[bytes]:
    """A request of eight times the limit, its head first."""
    head = "POST /api/send-ai-message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    piece = b"x" * 65536
    if declared:
        yield f"{head}content-length: {128 * len(piece)}\r\n\r\n".encode()
        yield from [piece] * 128
    else:
        yield f"{head}transfer-encoding: chunked\r\n\r\n".encode()
        yield from [b"10000\r\n" + piece + b"\r\n"] * 128
        yield b"0\r\n\r\n"


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_a_client_that_sends_far_too_much_still_reads_why_it_is_refused(
    api: RunningServer, declared: bool
) -> None:
    with closing(socket.create_connection(("127.0.0.1", api.port), timeout=10)) as peer:
        for piece in large_body(declared):
            peer.sendall(piece)  # raises where the server has cut it
        answer = b""
        while more := peer.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ") and b"connection: close" in head
    assert json.loads(body)["error"]["code"] == "too_large"


def test_the_body_of_a_get_counts_for_nothing(api: RunningServer) -> None:
    answer = httpx2.request("GET", api.url + "/health", content=b"x" * (2 << 20))
    assert answer.status_code == 200


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(api: RunningServer) -> None:
    with closing(socket.create_connection(("127.0.0.1", api.port), timeout=5)) as peer:
        peer.sendall(next(large_body(True)))
        assert peer.recv(12) == b"HTTP/1.1 413"


def test_a_client_that_never_stops_sending_is_cut(api: RunningServer) -> None:
    end = time.monotonic() + 10
    with closing(socket.create_connection(("127.0.0.1", api.port), timeout=10)) as peer:
        peer.sendall(next(large_body(False)))
        with pytest.raises(ConnectionError):
            while time.monotonic() < end:
                peer.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                time.sleep(0.01)
