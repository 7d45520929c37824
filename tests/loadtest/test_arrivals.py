"""Due times: the rate that was asked for, whatever the senders do, and never above a limit."""

from itertools import pairwise
from random import Random

import pytest

from loadtest.arrivals import Arrivals
from server.protocol import RateLimit


def due_times(arrivals: Arrivals, count: int) -> list[float]:
    return [arrivals.next() for _ in range(count)]


def test_poisson_arrivals_keep_the_rate_and_vary() -> None:
    times = due_times(Arrivals(50.0, 100.0, Random(7)), 5000)
    assert times[0] > 100.0
    assert times == sorted(times)
    assert (times[-1] - 100.0) == pytest.approx(5000 / 50.0, rel=0.05)
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert gaps[500] < 0.3 / 50 < 2 / 50 < gaps[-500]


def test_under_a_limit_no_window_ever_holds_more_than_it_allows() -> None:
    limit = RateLimit(messages=30, window=10.0)
    arrivals = Arrivals(100.0, 0.0, Random(7), limit)
    times = due_times(arrivals, 500)
    assert arrivals.rate < 3.0
    assert all(times[i + 30] - times[i] > 10.0 for i in range(470))


def test_a_rate_below_the_limit_is_kept() -> None:
    arrivals = Arrivals(0.5, 0.0, Random(7), RateLimit(messages=30, window=10.0))
    assert due_times(arrivals, 101)[-1] == pytest.approx(201, abs=2)


def test_even_arrivals_of_many_senders_do_not_start_together() -> None:
    limit = RateLimit(messages=30, window=10.0)
    starts = [Arrivals(1.0, 0.0, Random(seed), limit).next() for seed in range(20)]
    assert max(starts) - min(starts) > 0.5
