import itertools

from server.core.breaker import Breaker
from server.core.retrying import Backoff


def fails(breaker: Breaker, now: float, retry_after: float | None = None) -> bool:
    call = breaker.begin(now)
    is_down = breaker.failed(call, now, 0.0, retry_after, is_timeout=False)
    breaker.over(call)
    return is_down


def test_as_many_calls_as_allowed_run_while_all_is_well() -> None:
    breaker = Breaker(3)
    calls = [breaker.begin(0.0) for _ in range(3)]
    assert not breaker.may_begin(0.0)
    breaker.over(calls[0])
    assert breaker.may_begin(0.0)
    assert breaker.state == "closed"


def test_while_the_service_is_down_one_probe_at_a_time_ever_further_apart() -> None:
    breaker, now, began = Breaker(64, Backoff(1.0, 60.0)), 0.0, []
    for _ in range(10):
        while not breaker.may_begin(now):
            now += 1.0
        began.append(now)
        fails(breaker, now)
    assert [b - a for a, b in itertools.pairwise(began)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert breaker.state == "open"


def test_a_second_probe_waits_for_the_end_of_the_first() -> None:
    breaker = Breaker(64)
    fails(breaker, 0.0)
    probe = breaker.begin(2.0)
    assert not breaker.may_begin(10.0)
    breaker.over(probe)
    assert breaker.may_begin(10.0)


def test_it_comes_back_slowly_each_answer_makes_room_for_one_more() -> None:
    breaker, rounds = Breaker(64), []
    fails(breaker, 0.0)
    while breaker.state != "closed":
        calls = []
        while breaker.may_begin(5.0):
            calls.append(breaker.begin(5.0))
        rounds.append(len(calls))
        for call in calls:
            breaker.answered(call, 5.0)
            breaker.over(call)
    assert rounds == [1, 2, 4, 8, 16, 32]


def test_those_that_were_under_way_when_it_went_down_say_nothing_new() -> None:
    breaker = Breaker(64)
    calls = [breaker.begin(0.0) for _ in range(64)]
    assert [breaker.failed(call, 1.0, 0.0, None, is_timeout=False) for call in calls] == [True] * 64
    assert (breaker.failures, breaker.not_before) == (1, 2.0)


def test_an_answer_to_an_older_call_does_not_say_that_it_is_up_again() -> None:
    breaker = Breaker(64)
    slow = breaker.begin(0.0)
    fails(breaker, 0.0)
    breaker.answered(slow, 0.5)
    assert breaker.state == "open"


def test_a_call_that_times_out_while_others_are_answered_is_slow_alone() -> None:
    breaker = Breaker(64)
    slow = breaker.begin(0.0)
    breaker.answered(breaker.begin(1.0), 1.1)
    assert not breaker.failed(slow, 60.0, 0.0, None, is_timeout=True)
    assert breaker.state == "closed"
    assert breaker.failed(breaker.begin(61.0), 121.0, 0.0, None, is_timeout=True)


def test_retry_after_is_obeyed() -> None:
    breaker = Breaker(64)
    fails(breaker, 0.0, retry_after=30.0)
    assert not breaker.may_begin(29.9)
    assert breaker.may_begin(30.0)


def test_calls_that_hang_from_before_an_outage_stop_no_probe_but_count_for_how_many_there_may_be() -> None:
    breaker = Breaker(3, Backoff(1.0))
    hanging = [breaker.begin(0.0), breaker.begin(0.0)]
    fails(breaker, 0.0)
    assert breaker.may_begin(2.0)
    probe = breaker.begin(2.0)
    breaker.answered(probe, 2.0)
    assert not breaker.may_begin(2.0)  # two hang, and the probe is not over
    breaker.over(hanging[0])
    assert breaker.may_begin(2.0)
