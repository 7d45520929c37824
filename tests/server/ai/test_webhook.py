"""The application's own service as a responder, against a real one."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from server.ai.webhook import WebhookConfig
from server.ai.webhook import WebhookService as Caller
from server.core.retrying import FailureKind
from server.ports import Responder, ResponderFailed
from server.protocol import Finish
from tests.server.ai.responder_contract import ResponderContract, answer, pieces_of, turn
from tests.support.asynchronous import asynchronous
from tests.support.certificates import make_certificates
from tests.support.webhook_service import SECRET, Reply, WebhookService, refusal, webhook_service

STREAM = Reply(headers={"Content-Type": "text/plain"}, chunks=[b"Hel", 0.01, b"lo"])


@pytest.fixture
def service() -> Iterator[WebhookService]:
    with webhook_service(lambda delivery: STREAM) as it:
        yield it


def caller(service: WebhookService, timeout: float = 5.0, url: str = "") -> Caller:
    return Caller(WebhookConfig(url or service.url, (SECRET,), timeout))


class TestWebhook(ResponderContract):
    @pytest.fixture(autouse=True)
    def _service(self, service: WebhookService) -> None:
        self.service = service

    async def make(self) -> Responder:
        return caller(self.service)


async def failure(service: WebhookService, reply: Reply, seconds: float = 5.0) -> ResponderFailed:
    service.script = lambda delivery: reply
    asked = caller(service, seconds)
    with pytest.raises(ResponderFailed) as caught:
        await pieces_of(asked, turn("Hi"))
    await asked.close()
    return caught.value


@asynchronous
@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_other_success_is_an_answer_that_comes_another_way(
    service: WebhookService, status: int
) -> None:
    service.script = lambda delivery: refusal(status)
    asked = caller(service)
    assert await pieces_of(asked, turn("Hi")) == []
    await asked.close()


@asynchronous
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, FailureKind.UPSTREAM_ERROR),
        (400, FailureKind.UPSTREAM_ERROR),
        (410, FailureKind.GONE),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.UPSTREAM_ERROR),
        (502, FailureKind.UNAVAILABLE),
        (503, FailureKind.UNAVAILABLE),
        (504, FailureKind.UNAVAILABLE),
    ],
)
async def test_a_refusal_tells_what_it_means(service: WebhookService, status: int, kind: FailureKind) -> None:
    failed = await failure(service, refusal(status, Location="http://127.0.0.1:1/", Retry_After="7"))
    assert (failed.kind, failed.retry_after) == (kind, 7)
    assert len(service.turns) == 1  # no redirect is followed


@asynchronous
async def test_a_service_that_is_late_to_begin_or_stops_within_its_answer_has_timed_out(
    service: WebhookService,
) -> None:
    late = await failure(service, Reply(headers={"Content-Type": "text/plain"}, chunks=[0.5, b"x"]), 0.1)
    stops = await failure(
        service, Reply(headers={"Content-Type": "text/plain"}, chunks=[b"x", 0.5, b"y"]), 0.1
    )
    assert (late.kind, stops.kind) == (FailureKind.TIMEOUT, FailureKind.TIMEOUT)


@asynchronous
async def test_a_stream_whose_end_nobody_could_tell_from_a_breach_is_not_taken(
    service: WebhookService,
) -> None:
    failed = await failure(
        service, Reply(headers={"Content-Type": "text/plain"}, body=b"Hello", has_length=False)
    )
    assert failed.kind is FailureKind.UPSTREAM_ERROR
    assert "send it chunked" in str(failed)


@asynchronous
async def test_a_stream_that_tells_of_its_own_failure_is_not_whole(service: WebhookService) -> None:
    lines = [b'{"message":{"content":"Hel"},"done":false}\n', b'{"error":"out of memory"}\n']
    failed = await failure(service, Reply(headers={"Content-Type": "application/x-ndjson"}, chunks=[*lines]))
    assert failed.kind is FailureKind.UPSTREAM_ERROR
    assert "broke its stream off" in str(failed)


@asynchronous
async def test_nobody_there_is_an_outage(service: WebhookService) -> None:
    service.stop()
    failed = await failure(service, STREAM)
    assert failed.kind is FailureKind.UNREACHABLE
    assert failed.kind.is_outage
    service.start()


@asynchronous
async def test_a_stream_that_says_why_it_is_not_whole_ends_so(service: WebhookService) -> None:
    piece = {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "length"}]}
    body = b"data: " + json.dumps(piece).encode() + b"\n\ndata: [DONE]\n\n"
    service.script = lambda delivery: Reply(headers={"Content-Type": "text/event-stream"}, chunks=[body])
    asked = caller(service)
    assert await pieces_of(asked, turn("Hi")) == ["Hello", Finish.LENGTH]
    await asked.close()


@asynchronous
async def test_what_may_have_become_a_tag_is_not_lost_at_the_end_of_a_stream(service: WebhookService) -> None:
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "I <"}}]}\n\n'
    headers = {"Content-Type": "text/event-stream"}
    for end in (b"data: [DONE]\n\n", b""):
        reply = Reply(headers=headers, chunks=[chunk + end])
        service.script = partial(lambda reply, delivery: reply, reply)
        asked = caller(service)
        assert "".join(await pieces_of(asked, turn("Hi"))) == "I <"
        await asked.close()


@asynchronous
async def test_a_text_that_nobody_could_keep_is_the_services_fault(service: WebhookService) -> None:
    for text in (b"\\ud800", b"Hi\\u0000"):
        reply = Reply(body=b'{"message": "' + text + b'"}', headers={"Content-Type": "application/json"})
        assert (await failure(service, reply)).kind is FailureKind.UPSTREAM_ERROR


@asynchronous
async def test_a_redirect_that_leads_nowhere_is_told_like_any_other_refusal(service: WebhookService) -> None:
    failed = await failure(service, Reply(302, b"moved"))
    assert (failed.kind, str(failed).rpartition("answered ")[2]) == (FailureKind.UPSTREAM_ERROR, "302: moved")


@asynchronous
async def test_no_beginning_of_a_secret_is_told_where_the_rest_was_cut_off(service: WebhookService) -> None:
    body = b"x" * 180 + SECRET.encode()
    for reply in (Reply(500, body), Reply(body=body, headers={"Content-Type": "text/html"})):
        assert SECRET[:8] not in str(await failure(service, reply))
        assert SECRET.removeprefix("whsec_")[:8] not in str(await failure(service, reply))


@asynchronous
async def test_a_service_whose_certificate_nobody_vouches_for_is_told_nothing(
    service: WebhookService, tmp_path: Path
) -> None:
    context = make_certificates(tmp_path).server
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, context), daemon=True).start()
        asked = caller(service, url=f"https://127.0.0.1:{listening.getsockname()[1]}/turns")
        with pytest.raises(ResponderFailed, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await pieces_of(asked, turn("Hi"))
        assert caught.value.kind is FailureKind.UNREACHABLE
        await asked.close()


def _accept(listening: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError), listening.accept()[0] as plain:
        context.wrap_socket(plain, server_side=True)


@asynchronous
async def test_a_name_and_password_in_the_address_are_used_and_never_told(service: WebhookService) -> None:
    service.script = lambda delivery: refusal(400)
    asked = caller(service, url=service.url.replace("://", "://user:hush@"))
    with pytest.raises(ResponderFailed) as caught:
        await answer(asked, turn("Hi"))
    await asked.close()
    assert service.turns[0].headers["authorization"].startswith("Basic ")
    assert "hush" not in str(caught.value)


@asynchronous
async def test_the_environments_proxy_is_not_asked_for_this_machine(
    service: WebhookService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    asked = caller(service)
    assert await answer(asked, turn("Hi")) == "Hello"
    await asked.close()
