"""What the load test asks of a server's REST API."""

from collections.abc import Iterator

import pytest

from loadtest.free_port import free_port
from loadtest.rest import Rest, RestError
from tests.chatctl.rest_server import Answer, Request, RestServer, rest_server

HISTORY = "GET /api/conversations/c1/messages"


@pytest.fixture
def server() -> Iterator[RestServer]:
    with rest_server() as server:
        yield server


def history_of(newest: int, page_size: int) -> list[int]:
    def page(request: Request) -> Answer:
        after, limit = int(request.query["after_seq"]), int(request.query["limit"])
        seqs = range(after + 1, newest + 1)[: min(limit, page_size)]
        return 200, {"items": [{"seq": seq} for seq in seqs], "has_more": after + len(seqs) < newest}

    with rest_server() as server:
        server.replies[HISTORY] = page
        rest = Rest(server.url)
        seqs = [frame["seq"] for frame in rest.history("c1")]
        rest.close()
        return seqs


@pytest.mark.parametrize("newest", [0, 1, 7, 14, 15])
def test_reads_a_history_page_by_page(newest: int) -> None:
    assert history_of(newest, page_size=7) == list(range(1, newest + 1))


def test_a_refusal_has_the_servers_code_and_names_the_route_without_the_id(server: RestServer) -> None:
    server.refuse(HISTORY, 503, "not now", "store_unavailable")
    rest = Rest(server.url)
    with pytest.raises(RestError) as caught:
        list(rest.history("c1"))
    rest.close()
    assert caught.value.code == "store_unavailable"
    assert "c1" not in str(caught.value)
    assert "HTTP 503 store_unavailable" in str(caught.value)


def test_no_server_is_one_line_without_a_code() -> None:
    rest = Rest(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RestError) as caught:
        rest.stats()
    rest.close()
    assert caught.value.code is None
    assert "\n" not in str(caught.value)


def test_what_is_no_json_is_an_error_too(server: RestServer) -> None:
    server.answers["GET /stats"] = (200, b"<html>")
    rest = Rest(server.url)
    with pytest.raises(RestError):
        rest.stats()
    rest.close()
