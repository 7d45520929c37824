"""The page's files, as they are served."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("page"), store__url="memory://") as it:
        yield it


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/app", "text/html; charset=utf-8"),
        ("/app/chat-client.js", "text/javascript; charset=utf-8"),
        ("/app/chat-client.d.ts", "text/plain; charset=utf-8"),
        ("/app/chat-react.js", "text/javascript; charset=utf-8"),
        ("/app/chat-ai-sdk.d.ts", "text/plain; charset=utf-8"),
        ("/app/page/app.js", "text/javascript; charset=utf-8"),
        ("/app/page/tokens.css", "text/css; charset=utf-8"),
        ("/app/page/icon.svg", "image/svg+xml"),
    ],
)
def test_every_file_has_its_type_and_may_not_be_taken_for_another(
    server: RunningServer, path: str, media_type: str
) -> None:
    answer = server.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_policy_allows_no_inline_code_and_nothing_from_elsewhere(server: RunningServer) -> None:
    policy = dict(
        rule.strip().split(" ", 1)
        for rule in server.get("/app").headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    for kind in ("script-src", "style-src", "img-src", "connect-src"):
        assert policy[kind] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"


def test_a_file_that_has_not_changed_is_not_sent_again(server: RunningServer) -> None:
    first = server.get("/app/chat-client.js")
    assert first.headers["cache-control"] == "no-cache"
    again = httpx2.get(server.url + "/app/chat-client.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = httpx2.get(server.url + "/app/chat-client.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_head_tells_the_headers_alone(server: RunningServer) -> None:
    answer = httpx2.head(server.url + "/app")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_the_client_may_be_imported_by_pages_of_other_origins_and_the_page_not(server: RunningServer) -> None:
    assert server.get("/app/chat-client.js").headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in server.get("/app/page/app.js").headers


@pytest.mark.parametrize(
    "path",
    ["/app/nothing.js", "/app/../settings/schema.py", "/app/%2e%2e/main.py", "/app/page", "/app/__init__.py"],
)
def test_nothing_else_is_served(server: RunningServer, path: str) -> None:
    assert server.get(path).status_code == 404


def test_the_page_has_no_inline_script_style_or_handler_and_asks_nobody_else(server: RunningServer) -> None:
    page = server.get("/app").text
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_the_page_can_be_switched_off(tmp_path: Path) -> None:
    with running_server(tmp_path, store__url="memory://", server__web_client="false") as server:
        assert server.get("/app").status_code == 404
        assert server.get("/app/chat-client.js").status_code == 404
        assert "app" not in server.get("/").json()["links"]


def test_the_client_is_under_twelve_kilobytes_compressed(server: RunningServer) -> None:
    assert len(gzip.compress(server.get("/app/chat-client.js").content, 9)) < 12_000
