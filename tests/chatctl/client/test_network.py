"""Which way leads to a server, and what the environment has to say about it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from chatctl.client.network import NetworkMisconfigured, certificates, is_loopback, proxy_for

PROXY = "http://proxy.corp:3128"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000", True),
        ("ws://127.0.0.1:8000", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:8000", True),
        ("https://chat.example", False),
        ("http://127.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_loopback_is_this_machine_by_name_or_address(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://chat.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://chat.example", PROXY),
        ({"HTTPS_PROXY": PROXY}, "wss://chat.example", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://chat.example", None),
        ({"http_proxy": "proxy.corp:3128"}, "ws://chat.example", PROXY),
        ({"ALL_PROXY": PROXY}, "https://chat.example", PROXY),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": PROXY}, "https://chat.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "chat.example"}, "https://chat.example:8443", None),
        ({"HTTP_PROXY": PROXY}, "http://127.0.0.1:8000", None),
        ({"ALL_PROXY": "socks5://s:1"}, "http://localhost:8000", None),
    ],
)
def test_the_environments_proxy_is_taken_where_there_is_a_way_through_it(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("socks5h://kai:secret@s.corp:1080", "socks5h://s.corp:1080"),
        ("http://", "http://"),
        ("http://p:port", "http://p:port"),
        ("ftp://p", "ftp://p"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str, shown: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(NetworkMisconfigured, match=r"cannot be used.*NO_PROXY=chat\.example") as told:
        proxy_for("https://chat.example")
    assert f"proxy {shown} cannot" in str(told.value)


def test_certificates_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(NetworkMisconfigured, match="SSL_CERT_FILE cannot be read: No such file"):
        certificates()
