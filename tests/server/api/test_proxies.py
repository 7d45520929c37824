"""What proxies do to requests, against a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests.support.knock import OK, knock, verdict
from tests.support.server import RunningServer, running_server

KEY = "a key of sixteen characters"
HOST = {"X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that believes the proxy, offers itself below /chat, and wants a key."""
    with running_server(
        tmp_path_factory.mktemp("proxied"),
        server__root_path="/chat",
        server__trusted_proxies="127.0.0.1",
        auth__api_keys=KEY,
    ) as server:
        yield server


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that trusts nobody."""
    with running_server(tmp_path_factory.mktemp("direct")) as server:
        yield server


def get(server: RunningServer, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.get(server.url + path, headers={"X-API-Key": KEY} | (headers or {}))


def links(server: RunningServer, headers: dict[str, str]) -> Any:
    return get(server, "/", headers).json()["links"]["docs"]


@pytest.mark.parametrize("root", ["", "/chat"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/health", 200),
        ("/health/", 200),
        ("/app", 200),
        ("/app/page/app.js", 200),
        ("/api/conversations?user_id=kai", 200),
        ("/stats", 200),
        ("/metrics", 200),
        ("/docs", 200),
        ("/nothing", 404),
    ],
)
def test_every_path_is_served_with_the_root_path_and_without(
    proxied: RunningServer, root: str, path: str, status: int
) -> None:
    assert get(proxied, root + path).status_code == status


def test_devices_connect_with_the_root_path_and_without(proxied: RunningServer) -> None:
    for user, root in (("kai", ""), ("ben", "/chat")):
        address = f"{proxied.websocket}{root}/ws/{user}?conversation_id={user}s"
        with connect(address, compression=None) as device:
            assert verdict(device) == OK


def test_a_key_is_wanted_below_the_root_path_too(proxied: RunningServer) -> None:
    for path in ("/chat/stats", "/chat/chat/stats", "/chat/app/../stats", "/stats"):
        assert httpx2.get(proxied.url + path).status_code in (401, 404)
    assert httpx2.post(proxied.url + "/chat/api/drain").status_code == 401
    # Nor does a prefix of the client's own make an open path of a closed one.
    for prefix in ("/app", "/stats", "/chat/app"):
        for path in ("/app/stats", "/app/app/stats", f"{prefix}/stats", f"{prefix}/app/stats"):
            answer = httpx2.get(proxied.url + path, headers={"X-Forwarded-Prefix": prefix})
            assert answer.status_code in (401, 404), (prefix, path)


def test_a_write_during_a_drain_is_refused_and_the_drain_is_undone_below_the_root_path(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path, server__root_path="/chat") as server:
        assert server.post("/chat/api/drain", {}).is_success
        assert server.post("/chat/api/system-messages", {"data": "Hello!"}).status_code == 503
        assert httpx2.delete(server.url + "/chat/api/drain").is_success
        assert server.post("/chat/api/system-messages", {"data": "Hello!"}).is_success


def test_what_leads_on_has_the_root_path(proxied: RunningServer) -> None:
    for path in ("", "/chat"):
        assert get(proxied, path + "/").json()["links"]["health"] == "/chat/health"
        assert get(proxied, path + "/openapi.json").json()["servers"] == [{"url": "/chat"}]
        assert "'/chat/openapi.json'" in get(proxied, path + "/docs").text
        assert '"/chat/app/page/app.js"' in get(proxied, path + "/app").text
        assert '"/app/' not in get(proxied, path + "/app").text


def test_a_trusted_proxy_may_name_another_path_and_nobody_else(
    proxied: RunningServer, direct: RunningServer
) -> None:
    other = {"X-Forwarded-Prefix": "/other"}
    assert links(proxied, other) == "/other/docs"
    assert get(proxied, "/other/health", other).status_code == 200
    assert get(proxied, "/other/health").status_code == 404
    assert links(direct, other) == "/docs"
    assert get(direct, "/other/health", other).status_code == 404
    pages = [get(proxied, "/app", headers) for headers in ({}, other)]
    assert pages[0].headers["etag"] != pages[1].headers["etag"]


def test_the_page_of_the_host_that_a_trusted_proxy_names_may_connect(
    proxied: RunningServer, direct: RunningServer
) -> None:
    ours = {"origin": "https://chat.example"}
    with knock(proxied, additional_headers=HOST, **ours) as device:
        assert verdict(device) == OK
    with knock(direct, additional_headers=HOST, **ours) as device:
        assert verdict(device)[0] == 1008
    with knock(proxied, additional_headers=HOST, origin="https://evil.example") as device:
        assert verdict(device)[0] == 1008
    body = {"data": "Hello!"}
    headers = {"X-API-Key": KEY, "Origin": "https://chat.example"}
    url = f"{proxied.url}/chat/api/system-messages"
    assert httpx2.post(url, json=body, headers=headers | HOST).is_success
    assert httpx2.post(url, json=body, headers=headers).status_code == 403


def test_a_proxy_that_is_not_trusted_is_told_of_once(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    with running_server(tmp_path, server__trusted_proxies="10.0.0.1", log__format="json") as server:
        for user in ("kai", "ben"):
            with knock(server, user, user, additional_headers=forwarded) as device:
                assert verdict(device) == OK
        get(server, "/health", forwarded)
        server.terminate()
        lines = [line for line in server.errors.splitlines() if "proxy not trusted" in line]
    assert len(lines) == 1
    assert '"peer": "127.0.0.1"' in lines[0]
    assert "server.trusted_proxies" in lines[0]


def test_who_comes_directly_is_no_proxy_to_be_told_of(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, knock(server) as device:
        assert verdict(device) == OK
        server.terminate()
        assert "proxy not trusted" not in server.errors
