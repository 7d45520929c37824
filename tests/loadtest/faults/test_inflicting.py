"""Faults come one after another, and what was not taken as it should be is told."""

import time
from collections.abc import Sequence

from loadtest.faults.inflicting import Fault, Inflicting, Unmastered
from loadtest.progress import Phase, Progress
from loadtest.result import Check


def _inflicted(faults: Sequence[Fault[str]], seconds_left: float) -> list[Check]:
    inflicting = Inflicting("subject", faults, total=10.0, pause=0.01)
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


def test_a_fault_that_was_not_taken_as_it_should_be_is_told_and_the_next_one_follows() -> None:
    def refuse(subject: str) -> None:
        raise Unmastered("it ended with exit code 1")

    faults: list[Fault[str]] = [
        Fault("bad", 0.05, refuse),
        Fault("good", 0.05, lambda subject: time.sleep(0.05)),
    ]
    checks = _inflicted(faults, seconds_left=0.2)
    assert [(check.name, check.passed, check.details) for check in checks][:2] == [
        ("bad", False, ["it ended with exit code 1", "10 s after the start"]),
        ("good", True, ["10 s after the start"]),
    ]


def test_none_is_begun_that_would_outlast_the_load() -> None:
    assert _inflicted([Fault("long", 0.5, lambda subject: time.sleep(0.5))], seconds_left=0.2) == []
