"""What a browser lets pages of other origins read: those of `server.allowed_origins`, and no others."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.server import RunningServer, running_server

LISTED, FOREIGN = "https://app.example", "https://evil.example"
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module")
def open_to_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("cross-origin")
    with running_server(folder, server__allowed_origins=LISTED, auth__api_keys="key") as it:
        yield it


def ask_first(server: RunningServer, origin: str, method: str) -> httpx2.Response:
    """As a browser does before a request with an Authorization header."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    return httpx2.options(f"{server.url}/api/conversations/c/messages", headers=headers)


def test_a_page_of_a_listed_origin_may_read_what_its_token_allows(open_to_app: RunningServer) -> None:
    asked = ask_first(open_to_app, LISTED, "GET")
    assert (asked.status_code, asked.headers[ALLOWED]) == (200, LISTED)
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    for headers, status in (({"Authorization": "Bearer key"}, 404), ({}, 401)):
        answer = httpx2.get(
            f"{open_to_app.url}/api/conversations/c/messages", headers={"Origin": LISTED, **headers}
        )
        assert (answer.status_code, answer.headers[ALLOWED]) == (status, LISTED)


@pytest.mark.parametrize(("origin", "method"), [(FOREIGN, "GET"), (LISTED, "DELETE")])
def test_no_other_page_may_and_none_may_change_anything(
    open_to_app: RunningServer, origin: str, method: str
) -> None:
    assert ask_first(open_to_app, origin, method).status_code == 400
    answer = httpx2.get(open_to_app.url + "/health", headers={"Origin": FOREIGN})
    assert ALLOWED not in answer.headers


def test_without_listed_origins_no_page_of_another_may_read(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        asked = ask_first(server, LISTED, "GET")
        assert (asked.status_code, ALLOWED in asked.headers) == (403, False)
        assert ALLOWED not in httpx2.get(server.url + "/health", headers={"Origin": LISTED}).headers
