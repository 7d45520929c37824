"""An AI service of the application's own that does what a test says. It can be away, and come back."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Delivery:
    """What was POSTed, verified, and when (monotonic)."""

    headers: dict[str, str]
    body: Any
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.body["data"]
        return data

    @property
    def said(self) -> list[str]:
        return [frame["data"] for frame in self.data["messages"]]


@dataclass
class Reply:
    """`chunks`: bytes to send and seconds to wait; None: the body is `body` with its length."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes | float] | None = None
    ends: bool = True
    has_length: bool = True  # False: the end of the connection is that of the body


def message(text: str) -> Reply:
    return Reply(body=json.dumps({"message": text}).encode(), headers={"Content-Type": "application/json"})


def refusal(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


Script = Callable[[Delivery], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news."""


class WebhookService:
    """Listens on one port; `script` decides each reply, in the thread of its call."""

    def __init__(self, script: Script = lambda delivery: message("ok"), secret: str = SECRET) -> None:
        self.script = script
        self.deliveries: list[Delivery] = []
        self.unverified: list[str] = []
        self._webhook = Webhook(secret)
        self._arrived = threading.Condition(threading.RLock())
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/turns"
        self._server: _Server | None = None

    @property
    def turns(self) -> list[Delivery]:
        return self.of("message")

    def of(self, kind: str) -> list[Delivery]:
        with self._arrived:
            return [delivery for delivery in self.deliveries if delivery.body["type"] == kind]

    def start(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service.serve(self)

            def log_message(self, *args: Any) -> None:
                """Not on the test's stderr."""

        self._server = _Server(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        try:
            self._webhook.verify(body, headers)
        except Exception as fault:
            self.unverified.append(str(fault))
        delivery = Delivery(headers, json.loads(body), time.monotonic())
        with self._arrived:
            self.deliveries.append(delivery)
            self._arrived.notify_all()
        _write(handler, self.script(delivery))

    def wait_for(self, count: int, kind: str = "message", timeout: float = 15) -> list[Delivery]:
        """The first so many calls of that kind, once they are there."""
        end = time.monotonic() + timeout
        while len(found := self.of(kind)) < count:
            with self._arrived:
                assert self._arrived.wait(max(0.0, end - time.monotonic())) or len(self.of(kind)) >= count, (
                    f"{len(found)} of {count} calls came"
                )
        return found[:count]


def _write(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.chunks is None:
        if reply.has_length:
            handler.send_header("Content-Length", str(len(reply.body)))
        else:
            handler.close_connection = True
        handler.end_headers()
        handler.wfile.write(reply.body)
        return
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in reply.chunks:
        if isinstance(chunk, bytes):
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
        else:
            time.sleep(chunk)
    if reply.ends:
        handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = not reply.ends


@contextmanager
def webhook_service(script: Script = lambda delivery: message("ok")) -> Iterator[WebhookService]:
    service = WebhookService(script)
    service.start()
    try:
        yield service
        assert service.unverified == []
    finally:
        service.stop()
