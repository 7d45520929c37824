"""A tiny real HTTP server that answers like rest.md says, with what the test put in."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """What a command asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    key: str | None


Answer = tuple[int, Any]


class RestServer:
    """`answers["POST /api/typing"] = (200, {...})`, or a function in `replies`; what is in neither is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.replies: dict[str, Callable[[Request], Answer]] = {}
        self.requests: list[Request] = []
        self.url = ""

    def refuse(self, route: str, status: int, text: str, code: str) -> None:
        self.answers[route] = (status, _nack(text, code))

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        route = f"{request.method} {request.path}"
        if reply := self.replies.get(route):
            return reply(request)
        return self.answers.get(route, (404, _nack("There is no such thing", "not_found")))


def _nack(text: str, code: str) -> dict[str, Any]:
    return {"type": "NACK", "message_id": None, "data": text, "error": {"code": code, "retryable": False}}


@contextmanager
def rest_server(tls: ssl.SSLContext | None = None) -> Iterator[RestServer]:
    rest = RestServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(rest)) as http:
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        rest.url = f"http://127.0.0.1:{http.server_port}"
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield rest
        finally:
            http.shutdown()
            thread.join()


def _handler(rest: RestServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            target = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            key = self.headers.get("Authorization")
            status, document = rest.answer(Request(self.command, target.path, query, self.body(), key))
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            data = b"" if status == 204 else data
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 (names of the base class)

        def body(self) -> Any:
            if self.headers.get("Transfer-Encoding") == "chunked":
                return list(self.chunks())
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return json.loads(data) if data else None

        def chunks(self) -> Iterator[str]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size).decode()
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
