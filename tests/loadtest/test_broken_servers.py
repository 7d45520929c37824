"""Locust against a server that is broken on purpose: the ledger finds each fault, and invents none.

One run has a conversation for each way to be broken, since a run takes its time.
"""

from collections import defaultdict

import pytest

from loadtest.ledger import Fault
from loadtest.plan import MEANS_IT, ONE_CONNECTION, WITHIN_LIMIT
from loadtest.result import Result
from server.protocol import RateLimit
from tests.loadtest.chat_server import Breakage, chat_server
from tests.loadtest.running import run_scenario

LIMIT = RateLimit(messages=5, window=1.0)
EXPECTED = {
    Breakage.NONE: set(),
    Breakage.DROPS: {Fault.LOST},
    Breakage.DOUBLES: {Fault.DUPLICATED},
    Breakage.REORDERS: {Fault.OUT_OF_ORDER},
    Breakage.LOSES: {Fault.LOST, Fault.GHOST},
    Breakage.ACKS_EARLY: {Fault.LOST, Fault.OUT_OF_ORDER},
    Breakage.ALTERS: {Fault.ALTERED},
    Breakage.INVENTS: {Fault.GHOST},
    Breakage.SAVES_REFUSED: {Fault.GHOST},
    Breakage.DOUBLE_ANSWERS: {Fault.DUPLICATED},
    Breakage.FORGETS: {Fault.LOST},
}


@pytest.fixture(scope="module")
def broken() -> Result:
    with chat_server(*EXPECTED) as url:
        return run_scenario(url, "fanout", users=len(EXPECTED), rate=6.0 * len(EXPECTED))


@pytest.mark.parametrize("breakage", EXPECTED, ids=lambda breakage: breakage.name.lower())
def test_each_breakage_is_found(broken: Result, breakage: Breakage) -> None:
    number = list(EXPECTED).index(breakage)
    found = defaultdict(list)
    for finding in broken.findings:
        if finding.conversation_id.endswith(f"-{number}"):
            found[finding.fault].append(finding)
    assert EXPECTED[breakage] <= set(found)
    if not EXPECTED[breakage]:
        assert not found


def test_a_finding_has_the_message_and_its_time_line(broken: Result) -> None:
    number = list(EXPECTED).index(Breakage.DROPS)
    finding = next(one for one in broken.findings if one.conversation_id.endswith(f"-{number}"))
    assert finding.message_id.endswith(f"-{number}-5")
    assert finding.detail == "stored as seq 5, but device2 never saw it"
    events = [moment.event for moment in finding.timeline]
    assert events[0] == "sent"
    assert sorted(events[1:]) == ["ACKed as seq 5", "seen by device0 as seq 5", "seen by device1 as seq 5"]


def test_a_run_with_faults_fails_though_its_objectives_are_met(broken: Result) -> None:
    assert broken.slos[0].passed
    assert (broken.valid, broken.passed, broken.exit_code) == (True, False, 1)


def test_an_ack_before_the_save_is_found_though_the_save_follows(broken: Result) -> None:
    number = list(EXPECTED).index(Breakage.ACKS_EARLY)
    details = {one.detail for one in broken.findings if one.conversation_id.endswith(f"-{number}")}
    assert "ACKed as seq 1, but not yet in the history right after" in details
    assert "ACKed before its broadcast reached the sender" in details


@pytest.fixture(scope="module")
def faultless() -> Result:
    """From two processes, and asking for more than the server's limit allows."""
    with chat_server(Breakage.NONE, limit=LIMIT) as url:
        return run_scenario(url, "fanout", users=4, rate=100.0, processes=2)


def test_a_faultless_server_passes(faultless: Result) -> None:
    assert faultless.failed_because == []
    assert faultless.invalid_because == []
    assert (faultless.users, faultless.devices, faultless.generator.processes) == (4, 12, 2)
    assert faultless.sent == faultless.acked == faultless.deliveries / 3 > 20


def test_latencies_leave_the_warm_up_out_and_counts_do_not(faultless: Result) -> None:
    latencies = faultless.latency_ms
    assert 0 < latencies.delivery.count == 3 * latencies.ack.count < faultless.deliveries


def test_a_scenario_that_is_not_about_the_limit_keeps_within_it(faultless: Result) -> None:
    assert faultless.nacked == {}
    assert faultless.send_rate < 4 * LIMIT.messages / LIMIT.window
    assert any("the server's rate limit allows" in warning for warning in faultless.warnings)


def test_a_server_that_keeps_the_older_of_two_connections_of_a_device_is_found() -> None:
    with chat_server(Breakage.NONE) as url:
        result = run_scenario(url, "cluster", users=3, rate=60.0)
    (check,) = (check for check in result.checks if check.name == ONE_CONNECTION)
    assert not check.passed
    assert "it has two" in check.details[0]
    assert result.exit_code == 1


def test_a_limit_counted_wrong_and_a_retry_after_too_short_are_found() -> None:
    with chat_server(Breakage.MISCOUNTS, Breakage.HASTY, Breakage.NONE, Breakage.NONE, limit=LIMIT) as url:
        result = run_scenario(url, "ratelimit", users=12, rate=132.0)
    details = {check.name: check.details for check in result.checks if not check.passed}
    assert set(details) == {WITHIN_LIMIT, MEANS_IT}
    assert {user_number(detail) % 4 for detail in details[WITHIN_LIMIT]} == {0}
    assert {user_number(detail) % 4 for detail in details[MEANS_IT]} == {1}
    assert result.exit_code == 1


def user_number(detail: str) -> int:
    return int(detail.partition(":")[0].rpartition("-")[2])
