from collections.abc import Iterator

import pytest

from tests.chatctl.conftest import Run
from tests.chatctl.dashboard.figures_of_a_server import stats
from tests.chatctl.rest_server import RestServer


def emptying(*counts: int) -> Iterator[tuple[int, object]]:
    for current in counts:
        document = stats()
        document["server"]["status"] = "draining"
        document["connections"]["current"] = current
        yield 200, document


def test_it_waits_until_the_node_is_empty(
    chatctl: Run, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatctl.commands.drain.POLL_SECONDS", 0.0)
    rest.answers["POST /api/drain"] = (202, {})
    states = emptying(5, 5, 1, 0)
    rest.replies["GET /stats"] = lambda _: next(states)
    assert chatctl("drain", "--per-second", "20") == (
        0,
        "the node is empty\n",
        "chatctl: 5 connections left\nchatctl: 1 connection left\n",
    )
    assert rest.requests[0].body == {"per_second": 20}


def test_undo_lets_the_node_go_on(chatctl: Run, rest: RestServer) -> None:
    rest.answers["DELETE /api/drain"] = (204, None)
    assert chatctl("drain", "--undo") == (0, "the node takes connections again\n", "")
    assert chatctl("drain", "--undo", "--per-second", "3").code == 2


def test_whoever_waits_for_a_drain_that_somebody_undoes_is_told(chatctl: Run, rest: RestServer) -> None:
    rest.answers["POST /api/drain"] = (202, {})
    rest.answers["GET /stats"] = (200, stats())
    assert chatctl("drain") == (1, "", "chatctl: the drain was undone: the node takes connections again\n")
