"""POST /api/stream-ai-message against a real server, with bodies that are cut, broken or cancelled."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

import pytest

from tests.support.device import Connect, Device
from tests.support.server import RunningServer, running_server

PLAIN_ASGI = [sys.executable, str(Path(__file__).parents[1] / "transport" / "plain_asgi.py")]
OURS = [sys.executable, "-m", "chatctl", "serve"]


@pytest.fixture(scope="module", params=[OURS, PLAIN_ASGI], ids=["our classes", "plain ASGI"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that hands bodies on as they come, and one that reads them by ASGI's receive."""
    with running_server(tmp_path_factory.mktemp("api"), request.param) as it:
        yield it


class Writer(AbstractContextManager["Writer"]):
    """An AI service's request over a bare socket, so that the test decides what is sent and when."""

    def __init__(self, server: RunningServer, content_type: str = "text/plain", **query: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        head = (
            f"POST /api/stream-ai-message?{urlencode(query)} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._socket.sendall(head.encode())

    def write(self, piece: str | bytes) -> None:
        data = piece.encode() if isinstance(piece, str) else piece
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> tuple[int, dict[str, Any]]:
        self._socket.sendall(b"0\r\n\r\n")
        return self.answer()

    def answer(self) -> tuple[int, dict[str, Any]]:
        """The status and the body's JSON."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(headers["content-length"]):
            body += self._socket.recv(65536)
        return int(head.split()[1]), json.loads(body)

    def cut(self) -> None:
        self._socket.close()

    def __exit__(self, *fault: object) -> None:
        self._socket.close()


Write = Callable[..., Writer]


@pytest.fixture
def write() -> Iterator[Write]:
    """`write(server, content_type, **query)` begins a request; all end with the test."""
    with ExitStack() as stack:
        yield lambda *what, **query: stack.enter_context(Writer(*what, **query))


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A conversation of the test's own."""
    return f"c-{crc32(request.node.name.encode())}"


@pytest.fixture
def phone(api: RunningServer, connect_device: Connect, room: str) -> Device:
    return connect_device(api, "phone", conversation=room)


def chunk_text(device: Device) -> str:
    """The pieces until the whole comes, put together; each follows on the one before."""
    text = ""
    while (frame := device.receive())["type"] != "AI_RESPONSE":
        if frame["type"] == "AI_RESPONSE_CHUNK":
            assert frame["data"]["offset"] == len(text)
            text += frame["data"]["text"]
    assert frame["data"] == text
    return text


def test_what_is_written_is_shown_at_once_and_saved_at_the_end(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    writer = write(api, conversation_id=room, message_id="s1")
    writer.write("Hello ")
    first = phone.receive_until("AI_RESPONSE_CHUNK")
    assert first["message_id"] == "s1"
    assert first["data"] == {"text": "Hello ", "index": 0, "offset": 0}
    writer.write("world")
    status, answer = writer.end()
    assert status == 200
    assert (answer["type"], answer["seq"], answer["delivered_to"], answer["duplicate"]) == (
        "ACK",
        1,
        1,
        False,
    )
    assert "finish" not in answer
    assert phone.receive_until("AI_RESPONSE")["data"] == "Hello world"


@pytest.mark.parametrize("end", ["data: [DONE]\n\n", ""])
def test_what_may_have_become_a_tag_is_not_lost_at_the_end(
    write: Write, api: RunningServer, phone: Device, room: str, end: str
) -> None:
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "I <"}}]})
    writer = write(api, "text/event-stream", conversation_id=room)
    writer.write(f"data: {chunk}\n\n{end}")
    writer.end()
    assert phone.receive_until("AI_RESPONSE")["data"] == "I <"


def test_the_same_id_again_is_a_duplicate_and_streamed_to_nobody(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    first = write(api, conversation_id=room, message_id="s1")
    first.write("text")
    first.end()
    phone.receive_until("AI_RESPONSE")
    again = write(api, conversation_id=room, message_id="s1")
    again.write("other text")
    status, answer = again.end()
    assert (status, answer["duplicate"], answer["seq"]) == (200, True, 1)
    phone.send({"type": "PING"})
    assert phone.receive()["type"] == "PONG"


def test_an_id_that_is_being_written_is_a_conflict(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    first = write(api, conversation_id=room, message_id="s1")
    first.write("text")
    phone.receive_until("AI_RESPONSE_CHUNK")
    status, answer = write(api, conversation_id=room, message_id="s1").answer()
    assert (status, answer["error"]["code"]) == (409, "conflict")
    assert first.end()[0] == 200


def test_a_cancel_is_answered_at_once_while_the_writer_still_sends(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    writer = write(api, conversation_id=room, message_id="s1")
    writer.write("Shown")
    phone.receive_until("AI_RESPONSE_CHUNK")
    assert phone.ask({"type": "CANCEL_RESPONSE", "message_id": "x", "data": {}})["type"] == "ACK"
    status, answer = writer.answer()
    assert (status, answer["finish"], answer["seq"]) == (200, "cancelled", 1)
    writer.write(" more")
    page = api.get(f"/api/conversations/{room}/messages").json()["items"]
    assert [(f["data"], f["finish"]) for f in page] == [("Shown", "cancelled")]


def test_cancelled_before_its_first_text_nothing_is_saved_and_the_writer_is_told(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    writer = write(api, "text/event-stream", conversation_id=room, message_id="s1")
    writer.write(": thinking\n\n")
    cancel = {"type": "CANCEL_RESPONSE", "message_id": "x", "data": {"message_id": "s1"}}
    for _ in range(100):
        if phone.ask(cancel)["type"] == "ACK":
            break
    status, answer = writer.answer()
    assert (status, answer["finish"]) == (200, "cancelled")
    assert "seq" not in answer
    assert api.get(f"/api/conversations/{room}/messages").json()["items"] == []


@pytest.mark.parametrize(("on_abort", "saved"), [("discard", []), ("save", [("A part", "incomplete")])])
def test_a_body_that_breaks_off_is_taken_back_or_kept(
    write: Write, api: RunningServer, connect_device: Connect, on_abort: str, saved: list[Any]
) -> None:
    conversation = f"c-cut-{on_abort}"
    phone = connect_device(api, "phone", conversation=conversation)
    writer = write(api, conversation_id=conversation, message_id="s1", on_abort=on_abort)
    writer.write("A part")
    phone.receive_until("AI_RESPONSE_CHUNK")
    writer.cut()
    end = phone.receive()
    assert end["type"] == "AI_RESPONSE" if saved else end["data"] == {"aborted": True}
    page = api.get(f"/api/conversations/{conversation}/messages").json()["items"]
    assert [(f["data"], f["finish"]) for f in page] == saved


def test_an_error_in_the_stream_is_told_to_the_caller_and_the_text_taken_back(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    writer = write(api, "text/event-stream", conversation_id=room)
    writer.write('data: {"choices":[{"delta":{"content":"Well"}}]}\n\n')
    phone.receive_until("AI_RESPONSE_CHUNK")
    writer.write('data: {"error":{"message":"overloaded"}}\n\n')
    status, answer = writer.answer()
    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    assert "overloaded" in answer["data"]
    assert phone.receive_until("AI_RESPONSE_CHUNK")["data"] == {"aborted": True}


@pytest.mark.parametrize(
    ("content_type", "pieces", "text", "finish"),
    [
        ("text/plain; charset=utf-8", ["\u00e9t\u00e9 ", "\u2028 fin"], "\u00e9t\u00e9 \u2028 fin", None),
        (
            "text/event-stream",
            ['data: {"choices":[{"delta":{"content":"Hi"}}]}\r\n\r\n', "data: [DONE]\n\n"],
            "Hi",
            None,
        ),
        (
            "application/x-ndjson",
            [
                '{"model":"m","message":{"content":"Ola"},"done":false}\n',
                '{"model":"m","message":{"content":""},"done":true,"done_reason":"length"}\n',
            ],
            "Ola",
            "length",
        ),
    ],
)
def test_each_format_gives_its_text(
    write: Write,
    api: RunningServer,
    connect_device: Connect,
    content_type: str,
    pieces: list[str],
    text: str,
    finish: str | None,
) -> None:
    conversation = f"c-{crc32(content_type.encode())}"
    phone = connect_device(api, "phone", conversation=conversation)
    writer = write(api, content_type, conversation_id=conversation)
    for piece in pieces:
        writer.write(piece)
    status, answer = writer.end()
    assert (status, answer.get("finish")) == (200, finish)
    assert chunk_text(phone) == text


@pytest.mark.parametrize(
    ("query", "content_type", "status", "code"),
    [
        ({"conversation_id": "nowhere"}, "text/plain", 404, "not_found"),
        ({}, "text/plain", 422, "validation_failed"),
        ({"conversation_id": "."}, "text/plain", 422, "validation_failed"),
        ({"conversation_id": "c", "on_abort": "perhaps"}, "text/plain", 422, "validation_failed"),
        ({"conversation_id": "c"}, "image/png", 422, "validation_failed"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_says_why(
    write: Write, api: RunningServer, query: dict[str, str], content_type: str, status: int, code: str
) -> None:
    answer = write(api, content_type, **query).end()
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


def test_no_text_at_all_is_an_empty_message(
    write: Write, api: RunningServer, phone: Device, room: str
) -> None:
    status, answer = write(api, conversation_id=room).end()
    assert (status, answer["error"]["code"]) == (422, "empty_message")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("short"), limits__max_ai_text_length=10) as it:
        yield it


def test_a_text_that_becomes_too_long_is_refused_and_taken_back(
    write: Write, short: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(short, "phone")
    conversation = phone.welcome["conversation_id"]
    writer = write(short, conversation_id=conversation)
    writer.write("ten chars ")
    phone.receive_until("AI_RESPONSE_CHUNK")
    writer.write("more")
    status, answer = writer.answer()
    assert (status, answer["error"]["code"]) == (422, "message_too_long")
    assert phone.receive_until("AI_RESPONSE_CHUNK")["data"] == {"aborted": True}


def test_at_sigterm_an_answer_goes_on_until_shortly_before_the_graces_end(
    write: Write, tmp_path: Any, connect_device: Connect
) -> None:
    with running_server(tmp_path, server__shutdown_grace=4.0, store__timeout=1.0) as server:
        phone = connect_device(server, "phone")
        conversation = phone.welcome["conversation_id"]
        kept, broken = (
            write(server, conversation_id=conversation, message_id=name, on_abort=on_abort)
            for name, on_abort in (("kept", "save"), ("broken", "discard"))
        )
        for writer in (kept, broken):
            writer.write("begun")
            phone.receive_until("AI_RESPONSE_CHUNK")
        ended = write(server, conversation_id=conversation, message_id="ended")
        server.process.terminate()
        phone.receive_until("SYSTEM")
        ended.write("written to its end")
        assert ended.end()[0] == 200
        assert broken.answer()[1]["error"]["code"] == "shutting_down"
        assert kept.answer()[1]["finish"] == "incomplete"
        assert phone.wait_for_close()[0] == 1001
        assert server.wait() == 0
