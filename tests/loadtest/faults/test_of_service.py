"""The scenario `webhook`, its faults in quick motion: the real server survives all of it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from loadtest.faults.of_service import round_of
from loadtest.launch import Launch, run
from loadtest.plan import SCENARIOS
from loadtest.result import Result
from loadtest.stages import own_stage

SCENARIO = SCENARIOS["webhook"]
USERS, DEVICES, RATE, SECONDS = 8, 2, 24.0, 21.0


@pytest.fixture(scope="module")
def survived() -> Iterator[Result]:
    launch = Launch("webhook", "", USERS, 50.0, DEVICES, RATE, SECONDS, 1, [])
    with own_stage(SCENARIO, launch, pause=0.2) as stage:
        result = run(replace(launch, url=stage.url, service=stage.service), stage.follow)
    result.add_checks(stage.checks)
    yield result


def test_every_message_is_in_one_turn_in_order_and_answered_once(survived: Result) -> None:
    assert survived.invalid_because == []
    assert survived.failed_because == [], survived.checks
    assert survived.sent > 200
    assert survived.deliveries > survived.acked * DEVICES + 50  # the answers


def test_each_fault_was_inflicted_and_left_its_marks(survived: Result) -> None:
    assert {fault.name for fault in round_of(SCENARIO.server)} <= {check.name for check in survived.checks}
    assert survived.reconnects > USERS * DEVICES * 2
