"""GET /api/conversations/{id}/messages: the history in pages."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.device import connector
from tests.support.server import RunningServer, running_server

COUNT = 205  # more than a page may have
ROOM = "c-pages"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("pages"), rate_limit__enabled=False, store__durability="process"
    ) as it:
        yield it


@pytest.fixture(scope="module")
def broadcasts(pages: RunningServer) -> list[dict[str, Any]]:
    """The conversation's messages as its device got them."""
    with ExitStack() as stack:
        device = connector(stack)(pages, "phone", user="pia", conversation=ROOM)
        for number in range(1, COUNT + 1):
            device.say(f"m{number}", f"text {number}")
        return [device.receive_until("CHAT_MESSAGE") for _ in range(COUNT)]


def _page(server: RunningServer, query: str) -> tuple[list[int], bool]:
    page = server.get(f"/api/conversations/{ROOM}/messages?{query}").json()
    return [frame["seq"] for frame in page["items"]], page["has_more"]


@pytest.mark.parametrize(
    ("query", "first", "last", "has_more"),
    [
        ("", 156, 205, True),  # the newest 50
        ("limit=3", 203, 205, True),
        ("limit=200", 6, 205, True),
        ("after_seq=0", 1, 50, True),
        ("after_seq=3&limit=2", 4, 5, True),
        ("after_seq=155", 156, 205, False),
        ("after_seq=203&limit=10", 204, 205, False),
        ("after_seq=205", 1, 0, False),
        ("after_seq=99999", 1, 0, False),
        ("before_seq=1", 1, 0, False),
        ("before_seq=51", 1, 50, False),
        ("before_seq=52", 2, 51, True),
        ("before_seq=99999&limit=2", 204, 205, True),
    ],
)
def test_a_page_ascends_from_where_it_is_asked_for(
    pages: RunningServer, broadcasts: list[Any], query: str, first: int, last: int, has_more: bool
) -> None:
    assert _page(pages, query) == (list(range(first, last + 1)), has_more)


def test_each_message_stands_in_the_history_as_its_broadcast_frame(
    pages: RunningServer, broadcasts: list[Any]
) -> None:
    read = [
        frame
        for after in (0, 200)
        for frame in pages.get(f"/api/conversations/{ROOM}/messages?after_seq={after}&limit=200").json()[
            "items"
        ]
    ]
    assert read == broadcasts


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "after_seq=-1", "before_seq=x", "after_seq=1&before_seq=5"],
)
def test_a_page_that_makes_no_sense_is_refused_by_the_name_of_what_is_wrong(
    pages: RunningServer, broadcasts: list[Any], query: str
) -> None:
    answer = pages.get(f"/api/conversations/{ROOM}/messages?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "validation_failed")
    assert query.partition("=")[0] in answer.json()["data"]


def test_an_unknown_conversation_has_no_history(pages: RunningServer) -> None:
    assert pages.get("/api/conversations/none/messages").status_code == 404
