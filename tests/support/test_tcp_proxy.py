"""The proxy spoils what passes as tests ask it to."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_certificates
from tests.support.knock import wait_until
from tests.support.tcp_proxy import Fate, TcpProxy, Way, tcp_proxy

SILENCE = 0.1  # seconds in which nothing comes


class Echo:
    """Answers what it reads, and remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()
        except OSError:
            return

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(1000):
                    self.heard += data
                    peer.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    with tcp_proxy(echo.port) as it:
        yield it


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as it:
        yield it


def asked(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(1000)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE)
    try:
        client.recv(1000)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_everything_passes_until_it_is_told_otherwise(client: socket.socket, proxy: TcpProxy) -> None:
    assert asked(client, b"hello") == b"hello"
    assert proxy.connections == 1


def test_a_cut_ends_both_sides(client: socket.socket, proxy: TcpProxy) -> None:
    asked(client, b"hello")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: proxy.connections == 0)


def test_whoever_comes_while_it_refuses_is_refused_and_the_port_stays(proxy: TcpProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    proxy.accept()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        assert asked(client, b"again") == b"again"


def test_what_is_held_back_is_handed_over_later(client: socket.socket, proxy: TcpProxy) -> None:
    proxy.hold(Way.TO_CLIENT)
    client.sendall(b"hello")
    assert is_silent(client)
    proxy.release()
    assert client.recv(1000) == b"hello"


def test_a_held_request_reaches_the_server_though_its_sender_has_gone(proxy: TcpProxy, echo: Echo) -> None:
    proxy.hold(Way.TO_SERVER)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(b"late")
    time.sleep(SILENCE)
    assert echo.heard == b""
    proxy.release()
    wait_until(lambda: echo.heard == b"late")


def test_a_delay_holds_up_each_way(client: socket.socket, proxy: TcpProxy) -> None:
    proxy.delay(SILENCE)
    started = time.monotonic()
    assert asked(client, b"hello") == b"hello"
    assert time.monotonic() - started >= 2 * SILENCE


def test_a_marked_request_passes_and_its_answer_cuts_the_connection(
    client: socket.socket, proxy: TcpProxy, echo: Echo
) -> None:
    proxy.spoil_answer(b"mark")
    assert asked(client, b"other") == b"other"
    client.sendall(b"a mark within")
    with pytest.raises(ConnectionResetError):
        client.recv(1000)
    assert echo.heard == b"othera mark within"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as another:
        assert asked(another, b"mark") == b"mark"


def test_a_marked_request_may_be_followed_by_silence(client: socket.socket, proxy: TcpProxy) -> None:
    proxy.spoil_answer(b"mark", Fate.SILENT)
    client.sendall(b"mark")
    assert is_silent(client)
    client.sendall(b"more")
    assert is_silent(client)


def test_with_a_certificate_it_speaks_tls_with_its_clients(tmp_path: Path, echo: Echo) -> None:
    certificates = make_certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=certificates.authority)
    with tcp_proxy(echo.port, certificates.server) as proxy:
        plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            assert asked(client, b"secret") == b"secret"
