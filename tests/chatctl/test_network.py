"""What every command that talks to a server makes of proxies and certificates in the environment."""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.server import ServerConnection, serve

from tests.chatctl.conftest import Run
from tests.chatctl.dashboard.figures_of_a_server import stats
from tests.chatctl.rest_server import rest_server

TALKING = [
    ["stats", "--json"],
    ["check"],
    ["chat", "kai", "c"],
    ["history", "c"],
    ["drain"],
]


@pytest.mark.parametrize("command", TALKING)
def test_a_socks_proxy_is_told_in_one_line(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    for name in ("HTTP_PROXY", "http_proxy", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    code, out, err = chatctl(*command, "--url", "http://chat.example")
    assert (code, out) == (2, "")
    assert err.startswith("chatctl: the environment's proxy socks5://proxy.example:1080 cannot be used: ")
    assert len(err.splitlines()) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One that localhost has signed for itself, with its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "localhost.pem").write_bytes(private + signed.public_bytes(pem))
    return tmp_path / "localhost.pem"


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_certificates_of_the_environment_are_believed_by_rest_commands(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, certificate: Path, tls: ssl.SSLContext
) -> None:
    with rest_server(tls) as rest:
        rest.answers["GET /stats"] = (200, stats())
        url = f"https://localhost:{rest.url.rpartition(':')[2]}"
        code, _, err = chatctl("stats", "--json", "--url", url)
        assert (code, "self-signed certificate" in err) == (1, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert chatctl("stats", "--json", "--url", url).code == 0


@pytest.fixture
def wss(tls: ssl.SSLContext) -> Iterator[str]:
    """The address of a WebSocket server that hangs up at once, with 4500."""

    def hang_up(socket: ServerConnection) -> None:
        socket.close(4500, "heard you")

    with serve(hang_up, "localhost", 0, ssl=tls) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_certificates_of_the_environment_are_believed_by_the_chat(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, certificate: Path, wss: str
) -> None:
    code, _, err = chatctl("chat", "kai", "c", "--url", wss)
    assert (code, "certificate" in err) == (1, True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert "heard you" in chatctl("chat", "kai", "c", "--url", wss).err
