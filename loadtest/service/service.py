"""The AI service as a program on a port: it can die, and come back with what it knew."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from loadtest.free_port import free_port
from loadtest.rest import Rest, RestError
from loadtest.service.account import Account, Delivery
from loadtest.service.manners import Choice, Manner, choose, choose_well, pieces_of

_ACCOUNTS: Final = "/account/"
_NO_LINGERING: Final = struct.pack("ii", 1, 0)
_LATE_ANSWERERS: Final = 32
_ANSWER_FOR: Final = 20.0  # seconds for which an answer by the REST API is tried
_ANSWER_PAUSE: Final = 0.3

Choose = Callable[[Delivery], Choice]


class AiService:
    """Listens on `host` and `port` from `start` to `close`; `die` and `start` between them.

    `timeout`: the server's `ai.webhook_timeout`, in seconds.

    Attributes:
        mood: What it does with every turn; None: as `choose` says.
    """

    def __init__(
        self, timeout: float, host: str = "127.0.0.1", port: int = 0, choose: Choose = choose
    ) -> None:
        self.account = Account()
        self.mood: Manner | None = None
        self.timeout = timeout
        self._choose = choose
        self._address = (host, port or free_port())
        self._server: _Server | None = None
        self._answers: _LateAnswers | None = None

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        return f"http://127.0.0.1:{self._address[1]}"

    @property
    def turns_url(self) -> str:
        """What the server has as `ai.webhook_url`."""
        return f"{self.url}/turns"

    def answer_to(self, server_url: str, api_key: str = "") -> None:
        """Answer by the REST API of this server from now on."""
        self._answers = _LateAnswers(server_url, api_key)

    def start(self) -> None:
        self._server = _Server(self._address, self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """Reset every connection, and listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None

    def behave(self) -> None:
        """Answer every turn well from now on."""
        self.mood, self._choose = None, choose_well

    def close(self) -> None:
        self.die()
        if self._answers is not None:
            self._answers.close()

    def serve(self, exchange: "_Exchange") -> None:
        """Do with a turn as it happens."""
        if self.mood is not None:
            exchange.delivery.manner = self.mood.__name__
            self.mood(exchange)
            return
        choice = self._choose(exchange.delivery)
        exchange.delivery.manner = choice.name
        choice.act(exchange)

    def answer_later(self, delivery: Delivery, text: str, in_pieces: bool) -> None:
        if self._answers is not None:
            self._answers.give(delivery, text, in_pieces)


@contextmanager
def ai_service(timeout: float, host: str = "127.0.0.1", port: int = 0) -> Iterator[AiService]:
    """Run one until the end of the context."""
    service = AiService(timeout, host, port)
    service.start()
    try:
        yield service
    finally:
        service.close()


class _LateAnswers:
    """Answers by the REST API, again until the server has taken each: it may just be down."""

    def __init__(self, server_url: str, api_key: str) -> None:
        self._rest = Rest(server_url, api_key)
        self._pool = ThreadPoolExecutor(_LATE_ANSWERERS)
        self._is_over = threading.Event()

    def give(self, delivery: Delivery, text: str, in_pieces: bool) -> None:
        with suppress(RuntimeError):  # the run is at its end
            self._pool.submit(self._answer, delivery, text, in_pieces)

    def close(self) -> None:
        self._is_over.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._rest.close()

    def _answer(self, delivery: Delivery, text: str, in_pieces: bool) -> None:
        end = time.monotonic() + _ANSWER_FOR
        while time.monotonic() < end and not self._is_over.is_set():
            try:
                self._post(delivery.conversation_id, f"answer-{delivery.last_seq}", text, in_pieces)
                return
            except RestError:
                self._is_over.wait(_ANSWER_PAUSE)

    def _post(self, conversation_id: str, message_id: str, text: str, in_pieces: bool) -> None:
        if in_pieces:
            self._rest.stream_ai(conversation_id, message_id, iter(pieces_of(text)))
        else:
            self._rest.send_ai(conversation_id, message_id, text)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], service: AiService) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self._open):
            reset(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A server that hung up is no news."""


def reset(connection: socket.socket) -> None:
    """End a connection; its closing sends a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """A turn."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("type") == "message":
            service = self.server.service
            delivery = service.account.arrived(self.headers["webhook-id"], body["data"])
            service.serve(_Exchange(self, service, delivery))
        else:
            write(self, 204)

    def do_GET(self) -> None:
        """What it knows of a conversation."""
        known = self.server.service.account.of(self.path.removeprefix(_ACCOUNTS))
        write(self, 200, {"items": [each.model_dump(mode="json") for each in known]})

    def log_message(self, *_: Any) -> None:
        """Tell nothing."""


class _Exchange:
    """Implements Exchange."""

    def __init__(self, handler: _Handler, service: AiService, delivery: Delivery) -> None:
        self.delivery = delivery
        self.timeout = service.timeout
        self._handler = handler
        self._service = service

    def take(self, *answers: str) -> None:
        self._service.account.taken(self.delivery, *answers)

    def reply(self, status: int, document: Any = None, **headers: str) -> None:
        write(self._handler, status, document, **headers)

    def stream(self, content_type: str, pieces: Iterator[str], is_whole: bool = True) -> None:
        handler = self._handler
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            data = piece.encode()
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        if is_whole:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            self.hang_up()

    def hang_up(self) -> None:
        self._handler.close_connection = True
        reset(self._handler.connection)

    def answer_later(self, text: str, in_pieces: bool) -> None:
        self._service.answer_later(self.delivery, text, in_pieces)


def write(handler: BaseHTTPRequestHandler, status: int, document: Any = None, **headers: str) -> None:
    """Write a whole answer; of names of headers, _ stands for -."""
    body = b"" if document is None else json.dumps(document).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if document is not None:
        handler.send_header("Content-Type", "application/json")
    if status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def read_account(service_url: str, conversation_id: str) -> list[Delivery]:
    """Ask a service, from another process, what it knows of a conversation. Raises RestError."""
    rest = Rest(service_url)
    try:
        return [Delivery.model_validate(each) for each in rest.items(_ACCOUNTS + conversation_id)]
    finally:
        rest.close()
