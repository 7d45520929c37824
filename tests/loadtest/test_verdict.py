"""What a run's evidence means: passed, failed, or not valid, and why."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest import slo
from loadtest.ledger import Fault
from loadtest.plan import SCENARIOS, WITHIN_LIMIT, Settings
from loadtest.result import Check, Result
from loadtest.tally import Second, Tally
from loadtest.verdict import RECONNECTS_COUNTED, Evidence, judge, of_nothing

SETTINGS = Settings(
    scenario="fanout",
    url="http://127.0.0.1:8000",
    users=2,
    spawn_rate=2.0,
    devices=3,
    rate=10.0,
    warmup=2.0,
    duration=10.0,
    run_id="x",
)


def stats(t: int, reconnections: int = 0) -> dict[str, Any]:
    return {
        "connections": {"current": 6, "reconnections": reconnections},
        "process": {"rss_bytes": (100 + t) * 2**20, "cpu_percent": 10.0 * t, "event_loop_lag_ms": float(t)},
    }


def healthy(**tally: Any) -> Evidence:
    """A run without fault: 100 messages in the 10 s after the warm-up, each ACKed after 20 ms."""
    account = Tally(
        users=2, devices=6, welcomed=6, sent=120, acked=120, deliveries=360, measured_sent=100, **tally
    )
    for _ in range(100):
        account.ack.record(0.020)
        account.delivery.record(0.030)
    account.generator.processes = 1
    account.generator.cpu_seconds, account.generator.wall_seconds = 2.0, 10.0
    account.generator.lag.record(0.001)
    second = Second(sent=10, acked=10)
    second.ack.record(0.020)
    return Evidence(
        scenario=SCENARIOS["fanout"],
        settings=SETTINGS,
        slos=[],
        tally=account,
        missing_processes=0,
        seconds=dict.fromkeys(range(12), second),
        samples={t: stats(t) for t in range(12)},
        before=stats(0),
        after=stats(12),
        started_at="2026-11-23T00:00:00+00:00",
        ran=12.0,
        machine={},
    )


def with_slos(*expressions: str) -> Result:
    return judge(replace(healthy(), slos=[slo.parse(expression) for expression in expressions]))


def test_a_healthy_run_passes() -> None:
    result = judge(healthy())
    assert (result.verdict, result.exit_code) == ("passed", 0)
    assert (result.measured_seconds, result.send_rate) == (10.0, 10.0)
    assert result.latency_ms.ack.p99 == pytest.approx(20, rel=0.001)
    assert len(result.timeline) == 12


def test_what_was_found_out_beside_the_load_fails_the_run_too() -> None:
    result = judge(healthy())
    result.add_checks([Check(name="it comes back", passed=True)])
    verdicts = [result.verdict]
    result.add_checks([Check(name="it ends in time", passed=False, details=["it took 9 s"])])
    assert [*verdicts, result.verdict] == ["passed", "failed"]
    assert (result.failed_because, result.exit_code) == (["it ends in time: it took 9 s"], 1)


@pytest.mark.parametrize("fault", Fault)
def test_any_fault_fails_the_run_whatever_the_objectives_say(fault: Fault) -> None:
    evidence = replace(healthy(faults={fault.value: 1}), slos=[slo.parse("ack_p99<1s")])
    result = judge(evidence)
    assert (result.verdict, result.exit_code) == ("failed", 1)
    assert getattr(result, fault.value) == 1
    assert result.slos[0].passed


def test_a_broken_invariant_fails_the_run() -> None:
    evidence = healthy(violations={WITHIN_LIMIT: ["user-1: 2 windows"]})
    result = judge(replace(evidence, scenario=SCENARIOS["ratelimit"]))
    assert result.exit_code == 1
    assert [check.name for check in result.checks if not check.passed] == [WITHIN_LIMIT]


@pytest.mark.parametrize(
    ("expression", "passed", "value"),
    [
        ("ack_p99<50ms", True, 20.0),
        ("ack_p99<10ms", False, 20.0),
        ("delivery_p50>=30ms", True, 30.0),
        ("delivery_max<1s", True, 30.0),
        ("lost==0", True, 0.0),
        ("sent>119", True, 120.0),
        ("nack_rate<1%", True, 0.0),
        ("send_rate>=10/s", True, 10.0),
        ("server_cpu<66%", True, 65.0),
        ("server_rss<112MiB", True, 111.0),
        ("loop_lag<=11ms", True, 11.0),
        ("reconnect_p99<1s", False, None),
    ],
)
def test_objectives_are_measured_in_their_units(expression: str, passed: bool, value: float | None) -> None:
    objective = with_slos(expression).slos[0]
    assert objective.passed is passed
    assert objective.value == (None if value is None else pytest.approx(value, rel=0.001))


def run_of(seconds: int, *expressions: str) -> Result:
    """A run of so many measured seconds, in which the memory grows by 1 MiB each second."""
    total = seconds + int(SETTINGS.warmup)
    second = healthy().seconds[0]
    return judge(
        replace(
            healthy(),
            slos=[slo.parse(expression) for expression in expressions],
            ran=float(total),
            seconds=dict.fromkeys(range(total), second),
            samples={t: stats(t) for t in range(total)},
        )
    )


def test_growth_is_that_of_the_measured_time() -> None:
    rss, ack = run_of(120, "rss_growth<8%", "ack_growth<1%").slos
    assert (rss.passed, ack.passed) == (False, True)
    assert [rss.value, ack.value] == pytest.approx([100 * 119 / 102, 0.0], rel=0.001)


def test_of_growth_nothing_is_said_after_less_than_two_minutes() -> None:
    result = run_of(100, "rss_growth<8%", "ack_p99<50ms")
    assert [objective.expression for objective in result.slos] == ["ack_p99<50ms"]
    assert (result.verdict, result.exit_code) == ("passed", 0)
    assert "growth is judged from 120 s on, so not: rss_growth<8%" in result.warnings


def test_every_known_metric_has_a_figure() -> None:
    result = run_of(120, *(f"{metric}>=0{unit}" for metric, unit in slo.METRICS.items()))
    assert len(result.slos) == len(slo.METRICS)


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (healthy(nacked={"rate_limited": 3}), "3 messages were refused as rate_limited"),
        (healthy(disconnects={"1008": 1}), "1 connections were refused with 1008"),
        (healthy(disconnects={"1013": 2}), "2 connections were refused with 1013"),
        (healthy(unread={"GET /x answered with HTTP 500": 2}), "the history of 2 conversations"),
        (healthy(unfit={"the server tells of no rate limit": 1}), "tells of no rate limit"),
        (replace(healthy(), missing_processes=1), "1 generator processes gave no account"),
    ],
)
def test_what_makes_a_run_not_valid(evidence: Evidence, why: str) -> None:
    result = judge(evidence)
    assert (result.verdict, result.exit_code, result.passed) == ("not valid", 3, False)
    assert why in " ".join(result.invalid_because)


def test_devices_that_were_never_welcomed_make_it_not_valid() -> None:
    evidence = healthy()
    evidence.tally.welcomed = 5
    assert judge(evidence).invalid_because == ["1 of 6 devices were never welcomed"]


def test_an_overloaded_generator_makes_it_not_valid() -> None:
    late, busy = healthy(), healthy()
    for _ in range(100):
        late.tally.generator.lag.record(0.2)
    busy.tally.generator.cpu_seconds = 9.8
    assert "200 ms late" in judge(late).invalid_because[0]
    assert "98% of a CPU" in judge(busy).invalid_because[0]


def test_a_refusal_that_the_scenario_provokes_is_valid() -> None:
    evidence = replace(healthy(nacked={"rate_limited": 3}), scenario=SCENARIOS["ratelimit"])
    assert judge(evidence).valid


def test_a_limit_that_nothing_ran_into_was_not_put_to_the_test() -> None:
    result = judge(replace(healthy(), scenario=SCENARIOS["ratelimit"]))
    assert (result.exit_code, result.invalid_because) == (
        3,
        ["no message was refused as rate_limited: raise --rate"],
    )


def test_the_generators_own_lag_is_told_where_it_matters() -> None:
    evidence = replace(healthy(), slos=[slo.parse("ack_p99<15ms")])
    for _ in range(100):
        evidence.tally.generator.lag.record(0.012)
    warnings = " ".join(judge(evidence).warnings)
    assert "12.0 ms late" in warnings
    assert "may be all that ack_p99<15ms was missed by" in warnings


@pytest.mark.parametrize(("counted", "passed"), [(7, True), (6, False), (8, False)])
def test_the_servers_counter_of_reconnections_must_agree(counted: int, passed: bool) -> None:
    evidence = replace(
        healthy(reconnects=7),
        scenario=SCENARIOS["reconnect"],
        before=stats(0, 3),
        after=stats(12, 3 + counted),
    )
    checks = {check.name: check.passed for check in judge(evidence).checks}
    assert checks == {RECONNECTS_COUNTED: passed}


def test_a_storm_tolerates_no_other_close_than_1013() -> None:
    scenario = replace(SCENARIOS["storm"], counts_reconnects=False, invariants=())
    full, broken = healthy(disconnects={"1013": 5}), healthy(disconnects={"1013": 5, "1006": 1})
    assert judge(replace(full, scenario=scenario)).passed
    assert judge(replace(broken, scenario=scenario)).checks[0].details == ["1006: 1 times"]


def test_a_run_that_never_began_is_not_valid_and_says_why() -> None:
    result = of_nothing(SETTINGS, ["ack_p99<50ms"], "no chat server answers")
    assert (result.exit_code, result.invalid_because) == (3, ["no chat server answers"])
    assert result.timeline == []
