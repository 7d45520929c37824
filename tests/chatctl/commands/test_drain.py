from collections.abc import Iterator

import pytest

from tests.chatctl.conftest import Run
from tests.chatctl.dashboard.figures_of_a_server import stats
from tests.chatctl.rest_server import RestServer


def emptying(*counts: int) -> Iterator[tuple[int, object]]:
    for current in counts:
        document = stats()
        document["connections"]["current"] = current
        yield 200, document


def test_it_waits_until_the_node_is_empty(
    chatctl: Run, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatctl.commands.drain.POLL_SECONDS", 0.0)
    rest.answers["POST /api/drain"] = (202, {})
    states = emptying(5, 5, 2, 0)
    rest.replies["GET /stats"] = lambda _: next(states)
    assert chatctl("drain", "--per-second", "20") == (
        0,
        "the node is empty\n",
        "chatctl: 5 connections left\nchatctl: 2 connections left\n",
    )
    assert rest.requests[0].body == {"per_second": 20}
