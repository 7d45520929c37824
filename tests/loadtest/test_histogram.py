"""Percentiles are exact to three digits, and merging loses nothing."""

from random import Random

import pytest

from loadtest.histogram import Latencies


def recorded(seconds: list[float]) -> Latencies:
    latencies = Latencies()
    for value in seconds:
        latencies.record(value)
    return latencies


def test_percentiles_are_those_of_the_sorted_list() -> None:
    random = Random(1)
    values = sorted(random.lognormvariate(-6, 1) for _ in range(10_000))
    latencies = recorded(values)
    for percent in (50.0, 90.0, 99.0, 99.9):
        exact = values[round(len(values) * percent / 100) - 1] * 1e3
        assert latencies.percentile(percent) == pytest.approx(exact, rel=0.005)
    assert latencies.maximum() == pytest.approx(values[-1] * 1e3, rel=0.001)


def test_two_processes_merged_are_as_one() -> None:
    fast, slow = [0.001] * 900, [0.5] * 100
    merged = recorded(fast)
    merged.merge(Latencies.decode(recorded(slow).encode()))
    assert merged.summary() == recorded(fast + slow).summary()
    assert merged.percentile(90) == pytest.approx(1.0, rel=0.001)
    assert merged.percentile(91) == pytest.approx(500, rel=0.001)


def test_nothing_recorded_has_no_percentiles() -> None:
    summary = Latencies().summary()
    assert summary == {
        "p50": None,
        "p90": None,
        "p99": None,
        "p99_9": None,
        "max": None,
        "mean": None,
        "count": 0,
    }
    assert Latencies().curve() == []


def test_extremes_are_kept_within_the_range() -> None:
    latencies = recorded([-1.0, 0.0, 1e9])
    assert latencies.count == 3
    assert latencies.maximum() == pytest.approx(600_000, rel=0.001)


def test_the_curve_rises_to_the_maximum() -> None:
    latencies = recorded([index / 1000 for index in range(1, 2001)])
    curve = latencies.curve()
    assert curve == sorted(curve)
    assert curve[-1] == (100.0, latencies.maximum())
