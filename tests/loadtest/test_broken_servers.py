"""Locust against a server that is broken on purpose: the ledger finds each fault, and invents none.

One run has a conversation for each way to be broken, since a run takes its time.
"""

from collections import defaultdict

import pytest

from loadtest.launch import Launch, run
from loadtest.ledger import Fault
from loadtest.result import Result
from tests.loadtest.chat_server import Breakage, chat_server

EXPECTED = {
    Breakage.NONE: set(),
    Breakage.DROPS: {Fault.LOST},
    Breakage.DOUBLES: {Fault.DUPLICATED},
    Breakage.REORDERS: {Fault.OUT_OF_ORDER},
    Breakage.LOSES: {Fault.LOST, Fault.GHOST},
    Breakage.ALTERS: {Fault.ALTERED},
    Breakage.INVENTS: {Fault.GHOST},
    Breakage.SAVES_REFUSED: {Fault.GHOST},
    Breakage.DOUBLE_ANSWERS: {Fault.DUPLICATED},
    Breakage.FORGETS: {Fault.LOST},
}


def run_fanout(url: str, users: int, processes: int = 1) -> Result:
    settings = Launch(
        scenario="fanout",
        url=url,
        users=users,
        spawn_rate=50,
        devices=3,
        rate=6.0 * users,
        duration=3.0,
        processes=processes,
        slos=["ack_p99<30s"],
        api_key="",
    )
    return run(settings, lambda progress: None)


@pytest.fixture(scope="module")
def broken() -> Result:
    with chat_server(*EXPECTED) as url:
        return run_fanout(url, users=len(EXPECTED))


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


def test_a_faultless_server_passes_from_two_processes() -> None:
    with chat_server(Breakage.NONE) as url:
        result = run_fanout(url, users=4, processes=2)
    assert result.failed_because == []
    assert result.invalid_because == []
    assert (result.users, result.devices, result.generator.processes) == (4, 12, 2)
    assert result.sent == result.acked == result.deliveries / 3 > 20
    assert result.latency_ms.delivery.count == 3 * result.latency_ms.ack.count < result.deliveries


def test_an_ack_before_the_save_is_found() -> None:
    with chat_server(Breakage.ACKS_EARLY) as url:
        result = run_fanout(url, users=2)
    details = {finding.detail for finding in result.findings}
    assert any("not yet in the history right after" in detail for detail in details)
    assert "ACKed before its broadcast reached the sender" in details
