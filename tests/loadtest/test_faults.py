"""The scenario `faults`, one round of it and in quick motion: the real server survives all of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.faults import Fault, Inflicting, Unmastered, round_of
from loadtest.launch import Launch, run
from loadtest.local_server import LocalServer, local_server
from loadtest.plan import warmup_of
from loadtest.progress import Phase, Progress
from loadtest.result import Check, Result

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


def _inflicted(faults: list[Fault], seconds_left: float) -> list[Check]:
    """In a server that is not touched."""
    inflicting = Inflicting(LocalServer(Path(), {}), faults, total=10.0, pause=0.01)
    measuring = Progress(
        phase=Phase.MEASURING,
        t=10.0 - seconds_left,
        users=1,
        sent=0,
        acked=0,
        nacked=0,
        deliveries=0,
        errors=0,
        last=None,
    )
    inflicting.follow(measuring)
    inflicting.follow(measuring)
    inflicting.finish()
    return inflicting.checks


def test_a_fault_that_the_server_did_not_take_as_it_should_is_told_and_the_next_one_follows() -> None:
    def refuse(server: LocalServer) -> None:
        raise Unmastered("it ended with exit code 1")

    faults = [Fault("bad", 0.05, refuse), Fault("good", 0.05, lambda server: time.sleep(0.05))]
    checks = _inflicted(faults, seconds_left=0.2)
    assert [(check.name, check.passed, check.details) for check in checks][:2] == [
        ("bad", False, ["it ended with exit code 1", "10 s after the start"]),
        ("good", True, ["10 s after the start"]),
    ]


def test_none_is_begun_that_would_outlast_the_load() -> None:
    assert _inflicted([Fault("long", 0.5, lambda server: time.sleep(0.5))], seconds_left=0.2) == []
