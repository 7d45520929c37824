import time
from ipaddress import ip_network

import pytest

from server.core.forwarding import Forwarded, below, is_root_path, read_forwarded

TRUSTED = (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/health", "/health"),
        ("/chat/health", "/health"),
        ("/chat", "/"),
        ("/chat/", "/"),
        ("/chatter", "/chatter"),
        ("/chat/chat/stats", "/stats"),
        ("/ws/chat", "/ws/chat"),
        ("/", "/"),
    ],
)
def test_a_path_is_served_with_its_root_and_without(path: str, rest: str) -> None:
    assert below(path, "/chat") == rest
    assert below(path, "") == path


def test_a_root_repeated_without_end_takes_no_time() -> None:
    began = time.perf_counter()
    assert below("/chat" * 13_000 + "/x", "/chat") == "/x"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("/chat", True),
        ("/a/b-c_d.e~f", True),
        ("/api/v1", True),
        ("", False),
        ("chat", False),
        ("/chat/", False),
        ("//chat", False),
        ("/a/../b", False),
        ("/.", False),
        ('/"><script>', False),
        ("/api", False),
        ("/app", False),
        ("/ws", False),
    ],
)
def test_a_root_path_is_plain_and_none_of_the_servers_own(text: str, fits: bool) -> None:
    assert is_root_path(text) is fits


def test_nothing_is_believed_of_a_peer_that_is_not_trusted() -> None:
    headers = {"for": "9.9.9.9", "proto": "https", "host": "chat.example", "prefix": "/chat"}
    assert read_forwarded(headers, "1.2.3.4", TRUSTED) is None
    assert read_forwarded(headers, "10.0.0.1", ()) is None
    assert read_forwarded(headers, "", TRUSTED) is None


@pytest.mark.parametrize(
    ("headers", "believed"),
    [
        ({}, Forwarded("10.0.0.1")),
        ({"for": "9.9.9.9"}, Forwarded("9.9.9.9")),
        ({"proto": "https"}, Forwarded("10.0.0.1", scheme="https")),
        ({"proto": "https, http"}, Forwarded("10.0.0.1", scheme="https")),
        ({"proto": "javascript"}, Forwarded("10.0.0.1")),
        ({"host": "chat.example:8443"}, Forwarded("10.0.0.1", host="chat.example:8443")),
        ({"host": "[2001:db8::1]:80"}, Forwarded("10.0.0.1", host="[2001:db8::1]:80")),
        ({"host": "chat.example/x"}, Forwarded("10.0.0.1")),
        ({"host": "a b"}, Forwarded("10.0.0.1")),
        ({"prefix": "/chat"}, Forwarded("10.0.0.1", root_path="/chat")),
        ({"prefix": "/chat/"}, Forwarded("10.0.0.1", root_path="/chat")),
        ({"prefix": "/app"}, Forwarded("10.0.0.1")),
        ({"prefix": "/<script>"}, Forwarded("10.0.0.1")),
    ],
)
def test_a_trusted_proxy_is_believed_what_makes_sense(headers: dict[str, str], believed: Forwarded) -> None:
    assert read_forwarded(headers, "10.0.0.1", TRUSTED) == believed
