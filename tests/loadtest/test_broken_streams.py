"""Locust against the real server with broken streams: the `ai` scenario finds each, and invents none."""

import sys
from pathlib import Path

import pytest

from loadtest.plan import ONE_WINS, PIECES_JOIN
from loadtest.result import Result
from tests.loadtest.broken_streams import BREAKAGES
from tests.loadtest.running import run_scenario
from tests.support.server import running_server

PROGRAM = [sys.executable, str(Path(__file__).parent / "broken_streams.py"), "serve"]
EXPECTED = {
    "none": set[str](),
    "drops": {PIECES_JOIN},
    "doubles": {PIECES_JOIN},
    "reorders": {PIECES_JOIN},
    "saves another text": {"altered"},
    "ignores cancels": {ONE_WINS},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("broken-streams")
    with running_server(folder, PROGRAM, rate_limit__enabled="false") as server:
        return run_scenario(server.url, "ai", users=len(BREAKAGES), rate=36.0, duration=5.0)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_each_breakage_is_found_and_only_where_it_is(result: Result, breakage: str) -> None:
    number = BREAKAGES.index(breakage)
    found = {
        check.name
        for check in result.checks
        for detail in check.details
        if number_of(detail.partition(":")[0].rpartition("-")[0]) == number
    }
    found |= {one.fault.value for one in result.findings if number_of(one.conversation_id) == number}
    if breakage == "none":
        assert found == set()
    assert EXPECTED[breakage] <= found


def number_of(name: str) -> int:
    """The user's number, which ids of conversations and beginnings of message ids end with."""
    return int(name.rpartition("-")[2])


def test_pieces_and_silence_are_timed(result: Result) -> None:
    latency = result.latency_ms
    assert latency.piece.count > 100
    assert latency.silence.count > 0
    assert 0 < (latency.piece.p50 or 0) < 5000
    assert (result.valid, result.exit_code) == (True, 1)
