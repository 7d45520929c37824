"""Locust against the real server with broken turns: the `webhook` scenario finds each, and invents none."""

import sys
from pathlib import Path

import pytest

from loadtest.launch import Launch, run
from loadtest.plan import ANSWERED_ONCE, IN_ONE_TURN, SCENARIOS, TURNS_IN_ORDER
from loadtest.progress import Phase, Progress
from loadtest.result import Result
from loadtest.service.service import ai_service
from tests.loadtest.broken_turns import BREAKAGES
from tests.support.server import running_server

PROGRAM = [sys.executable, str(Path(__file__).parent / "broken_turns.py"), "serve"]
EXPECTED = {
    "none": set[str](),
    "loses": {IN_ONE_TURN},
    "doubles": {IN_ONE_TURN, TURNS_IN_ORDER},
    "reorders": {TURNS_IN_ORDER},
    "alters": {IN_ONE_TURN},
    "answers twice": {ANSWERED_ONCE},
    "answers otherwise": {ANSWERED_ONCE},
    "regrows": {TURNS_IN_ORDER},
}
USERS = len(BREAKAGES)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("broken-turns")
    configured = {
        name.removeprefix("CHAT_").lower(): value for name, value in SCENARIOS["webhook"].server.items()
    }
    with (
        ai_service(float(configured["ai__webhook_timeout"])) as service,
        running_server(
            folder, PROGRAM, rate_limit__enabled="false", ai__webhook_url=service.turns_url, **configured
        ) as server,
    ):

        def follow(progress: Progress) -> None:
            if progress.phase is Phase.SETTLING:
                service.behave()

        service.answer_to(server.url)
        launch = Launch("webhook", server.url, USERS, 50.0, 2, 3.0 * USERS, 8.0, 1, [], service=service.url)
        return run(launch, follow)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_each_breakage_is_found_and_only_where_it_is(result: Result, breakage: str) -> None:
    number = BREAKAGES.index(breakage)
    found = {
        check.name
        for check in result.checks
        for detail in check.details
        if detail.partition(":")[0].endswith(f"-{number}")
    }
    assert EXPECTED[breakage] <= found
    if breakage == "none":
        assert found == set()


def test_the_run_has_failed_and_says_something(result: Result) -> None:
    assert (result.valid, result.exit_code) == (True, 1)
