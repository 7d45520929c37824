"""What is read without the HTTP parser is what the HTTP parser reads."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.transport.upgrade_head import UpgradeHead, read_upgrade
from tests.support.wire import upgrade_request


class Parsed:
    """The parser's callbacks."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def parsed(data: bytes) -> UpgradeHead:
    """As httptools reads it, which must find an upgrade by GET."""
    found = Parsed()
    parser = httptools.HttpRequestParser(found)
    with pytest.raises(httptools.HttpParserUpgrade) as upgrade:
        parser.feed_data(data)
    assert parser.get_method() == b"GET"
    assert parser.get_http_version() == "1.1"
    return UpgradeHead(found.target, found.headers, upgrade.value.args[0])


values = st.text('aZ09 ,:;=\t\r\n\0\x7fé"%', max_size=6)
BASE = ["Host: h", "Upgrade: websocket", "Connection: Upgrade"]


def head(target: str, *more: str, end: str = "\r\n") -> bytes:
    return end.join([f"GET /{target} HTTP/1.1", *BASE, *more, "", ""]).encode("latin-1")


@given(st.text("aZ09?&=%.~#{\\ \t\r\né", max_size=6), st.binary(max_size=9))
def test_a_target_that_is_read_is_what_the_parser_reads(target: str, rest: bytes) -> None:
    found = read_upgrade(head(target) + rest)
    assert found is None or found == parsed(head(target) + rest)


@given(st.sampled_from(["X", "Cookie", "Upgrade", "Content-Length", "x y", "x\t", "é"]), values)
def test_a_header_that_is_read_is_what_the_parser_reads(name: str, value: str) -> None:
    for line in (f"{name}:{value}", f"{name}: {value}", f"{name}: {value}b"):
        found = read_upgrade(head("", line))
        assert found is None or found == parsed(head("", line))


@given(st.lists(values, max_size=3), st.sampled_from(["\r\n", "\n", "\r"]))
def test_lines_that_are_read_are_those_that_the_parser_reads(lines: list[str], end: str) -> None:
    found = read_upgrade(head("", *lines, end=end))
    assert found is None or found == parsed(head("", *lines, end=end))


def test_a_browsers_handshake_is_read() -> None:
    sent = upgrade_request(
        "/ws/kai?conversation_id=c%20d",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        origin="https://chat.example:8443",
        accept_language="en-US,en;q=0.9",
        sec_websocket_extensions="permessage-deflate; client_max_window_bits",
        cookie='a="b"; c=d',
        connection="keep-alive, Upgrade",
    )

    found = read_upgrade(sent + b"\x81\x80")

    assert found == parsed(sent + b"\x81\x80")
    assert found is not None
    assert (found.target, found.size) == (b"/ws/kai?conversation_id=c%20d", len(sent))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(upgrade_request("/ws/kai")[:-1], id="not whole"),
        pytest.param(upgrade_request("/ws/kai").replace(b"GET", b"POST"), id="another method"),
        pytest.param(upgrade_request("/ws/kai").replace(b"1.1", b"1.0"), id="another version"),
        pytest.param(upgrade_request("/ws/kai", upgrade="h2c"), id="another protocol"),
        pytest.param(upgrade_request("/ws/kai", upgrade=None), id="no upgrade"),
        pytest.param(upgrade_request("/ws/kai", connection="keep-alive"), id="upgrade without the option"),
        pytest.param(upgrade_request("/ws/kai", content_length="5"), id="a body"),
        pytest.param(upgrade_request("/ws/kai", x="a\r\nHost: two"), id="a header twice"),
        pytest.param(upgrade_request("/ws/kai", x="a\r\n folded"), id="a folded header"),
        pytest.param(upgrade_request("/ws/k\\i"), id="a character that is none of a URL"),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(sent: bytes) -> None:
    assert read_upgrade(sent) is None
