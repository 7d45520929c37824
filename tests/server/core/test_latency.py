import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.latency import SLOTS, LatencyWindow, merged, summarize_durations


def test_nothing_measured_is_zero() -> None:
    assert LatencyWindow().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


@given(st.floats(0.0001, 100))
def test_a_percentile_is_off_by_a_tenth_at_most_and_the_maximum_by_nothing(seconds: float) -> None:
    window = LatencyWindow()
    for _ in range(10):
        window.record(seconds)
    summary = window.summary()
    assert summary["max"] == round(seconds * 1000, 3)
    assert summary["p50"] == summary["p99"] == pytest.approx(seconds * 1000, rel=0.1)


@given(st.lists(st.floats(0.0001, 100), min_size=1, max_size=20))
def test_percentiles_rise_to_the_maximum(durations: list[float]) -> None:
    window = LatencyWindow()
    for seconds in durations:
        window.record(seconds)
    summary = window.summary()
    assert summary["p50"] <= summary["p95"] <= summary["p99"] <= summary["max"]


def test_percentiles_tell_the_usual_from_the_rare() -> None:
    window = LatencyWindow()
    for count, seconds in ((90, 0.001), (8, 0.010), (2, 1.0)):
        for _ in range(count):
            window.record(seconds)
    summary = window.summary()
    assert summary["p50"] == pytest.approx(1, rel=0.1)
    assert summary["p95"] == pytest.approx(10, rel=0.1)
    assert summary["p99"] == pytest.approx(1000, rel=0.1)


def test_what_is_beyond_the_last_bucket_still_counts() -> None:
    window = LatencyWindow()
    window.record(0.0)
    window.record(1e6)
    assert window.summary()["max"] == 1e9
    assert window.summary()["p99"] > 100_000


def test_a_minute_is_remembered_and_then_forgotten() -> None:
    window = LatencyWindow()
    window.record(1.0)
    for _ in range(SLOTS - 1):
        window.advance()
    assert window.summary()["max"] == 1000.0
    window.advance()
    assert window.summary()["max"] == window.summary()["p50"] == 0.0


def test_latencies_of_several_processes_are_those_of_one_that_had_them_all() -> None:
    one, other, all_of_them = LatencyWindow(), LatencyWindow(), LatencyWindow()
    for number in range(1, 100):
        (one if number % 3 else other).record(number / 1000)
        all_of_them.record(number / 1000)
    assert merged([one.latencies(), other.latencies()]).summary() == all_of_them.summary()


def test_durations_are_summarized_in_any_order() -> None:
    assert set(summarize_durations([]).values()) == {0.0}
    durations = (float(seconds) for seconds in range(101, 0, -1))
    assert summarize_durations(durations) == {"mean": 51.0, "p50": 51.0, "p95": 96.0, "max": 101.0}
