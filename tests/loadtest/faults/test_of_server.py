"""The scenario `faults`, one round of it and in quick motion: the real server survives all of it."""

from collections.abc import Iterator

import pytest

from loadtest.faults.inflicting import Inflicting
from loadtest.faults.of_server import round_of
from loadtest.launch import Launch, run
from loadtest.local_server import local_server
from loadtest.plan import warmup_of
from loadtest.result import Result

SETTINGS = {
    "CHAT_STORE__TIMEOUT": "0.4",
    "CHAT_HEARTBEAT__INTERVAL": "0.3",
    "CHAT_HEARTBEAT__TIMEOUT": "0.8",
    "CHAT_SERVER__SHUTDOWN_GRACE": "3",
}
USERS, DEVICES, RATE, PAUSE = 8, 3, 80.0, 0.3


@pytest.fixture(scope="module")
def survived() -> Iterator[Result]:
    faults = round_of(SETTINGS)
    with local_server(SETTINGS) as server:
        launch = Launch("faults", server.url, USERS, 50.0, DEVICES, RATE, 14.0, 1, [])
        inflicting = Inflicting(server, faults, warmup_of(USERS, 50.0) + launch.duration, PAUSE)
        result = run(launch, inflicting.follow)
        inflicting.finish()
    result.add_checks(inflicting.checks)
    yield result


def test_nothing_acked_is_lost_nothing_nacked_is_stored_and_no_device_has_a_hole(survived: Result) -> None:
    assert survived.invalid_because == []
    assert survived.failed_because == [], survived.findings
    assert survived.sent > 300
    assert survived.acked > 200


def test_each_fault_was_inflicted_and_left_its_marks(survived: Result) -> None:
    assert {fault.name for fault in round_of(SETTINGS)} <= {check.name for check in survived.checks}
    assert survived.nacked["store_unavailable"]  # locked, and full
    assert survived.reconnects > USERS * DEVICES * 2
    assert {"1001", "1006"} <= set(survived.disconnects)
