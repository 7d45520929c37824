"""Two results side by side: what is worse, better, the same or chance."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from loadtest.comparison import Row, compare, document
from loadtest.result import Result
from loadtest.tally import Second
from loadtest.verdict import judge
from tests.loadtest.test_verdict import SETTINGS, healthy, stats


def run_with(ack: float, spread: float = 0.0, cpu: float = 50.0, **faults: int) -> Result:
    """Twenty measured seconds of ACKs after so many ms, give or take the spread from second to second."""
    evidence, dice = healthy(faults=faults), Random(1)
    seconds, total = {}, 20 + int(SETTINGS.warmup)
    for t in range(total):
        second = Second(sent=10, acked=10, delivered=30)
        milliseconds = ack + dice.uniform(-spread, spread)
        second.ack.record(milliseconds / 1000)
        seconds[t] = second
    samples: dict[int, dict[str, Any]] = {t: stats(t) for t in range(total)}
    for sample in samples.values():
        sample["process"]["cpu_percent"] = cpu
    result = judge(replace(evidence, seconds=seconds, samples=samples, ran=float(total)))
    result.latency_ms.ack.p50 = result.latency_ms.ack.p99 = ack
    return result


def row(metric: str, a: Result, b: Result, tolerance: float = 10.0) -> Row:
    return next(each for each in compare(a, b, tolerance) if each.metric == metric)


@pytest.mark.parametrize(
    ("before", "after", "judgement"),
    [(20.0, 21.0, "same"), (20.0, 30.0, "worse"), (20.0, 10.0, "better"), (20.0, 18.5, "same")],
)
def test_a_latency_is_worse_beyond_the_tolerance(before: float, after: float, judgement: str) -> None:
    it = row("ack_p50", run_with(before), run_with(after))
    assert (it.a, it.b, it.judgement) == (before, after, judgement)
    assert it.change == pytest.approx(100 * (after - before) / before)


def test_what_the_seconds_differ_by_chance_is_noise() -> None:
    restless = row("ack_p50", run_with(20.0, spread=19.0), run_with(26.0, spread=19.0))
    assert (restless.judgement, restless.change) == ("noise", 30.0)
    assert restless.noise is not None and restless.noise > 30.0
    assert row("ack_p50", run_with(20.0, spread=1.0), run_with(26.0, spread=1.0)).judgement == "worse"


def test_a_larger_tolerance_takes_more() -> None:
    assert row("ack_p50", run_with(20.0), run_with(26.0), tolerance=40.0).judgement == "same"


def test_cpu_counts_as_latencies_do() -> None:
    assert row("server_cpu", run_with(20.0, cpu=40.0), run_with(20.0, cpu=60.0)).judgement == "worse"
    assert row("server_cpu", run_with(20.0, cpu=60.0), run_with(20.0, cpu=40.0)).judgement == "better"


def test_a_new_fault_is_worse_however_wide_the_tolerance() -> None:
    rows = compare(run_with(20.0), run_with(20.0, lost=1), 1000.0)
    assert [each.metric for each in rows if each.judgement == "worse"] == ["lost"]
    assert document("a", "b", 1000.0, rows)["worse"] == ["lost"]


def test_a_result_is_the_same_as_itself() -> None:
    it = run_with(20.0, spread=5.0)
    assert {each.judgement for each in compare(it, it, 0.0)} <= {"same", None}
