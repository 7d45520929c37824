from hypothesis import given
from hypothesis import strategies as st

from server.core.rate_limit import RateLimiter


def test_so_many_pass_in_a_window_and_then_one_as_each_grows_old() -> None:
    limiter = RateLimiter(2, 10.0)
    assert limiter.check("kai", 0.0) is None
    assert limiter.check("kai", 4.0) is None
    assert limiter.check("kai", 5.0) == 5.0
    assert limiter.check("kai", 10.0) is None
    assert limiter.check("kai", 10.0) == 4.0


def test_users_do_not_count_against_each_other() -> None:
    limiter = RateLimiter(1, 10.0)
    assert limiter.check("kai", 0.0) is None
    assert limiter.check("eve", 0.0) is None


def test_what_was_refused_costs_nothing() -> None:
    limiter = RateLimiter(1, 10.0)
    limiter.check("kai", 0.0)
    assert all(limiter.check("kai", second) is not None for second in range(1, 10))
    assert limiter.check("kai", 10.0) is None


def test_a_refund_makes_room_again() -> None:
    limiter = RateLimiter(1, 10.0)
    limiter.check("kai", 3.0)
    limiter.refund("kai", 99.0)
    limiter.refund("eve", 3.0)
    assert limiter.check("kai", 4.0) is not None
    limiter.refund("kai", 3.0)
    assert limiter.check("kai", 4.0) is None


def test_forgetting_idle_users_lets_nobody_through_who_would_not_pass() -> None:
    limiter = RateLimiter(1, 10.0)
    limiter.check("kai", 0.0)
    limiter.check("eve", 5.0)
    limiter.forget_idle(12.0)
    assert limiter.check("eve", 12.0) == 3.0
    assert limiter.check("kai", 12.0) is None


def test_nothing_is_kept_of_users_who_are_idle() -> None:
    limiter = RateLimiter(3, 10.0)
    for user in range(100):
        limiter.check(f"user{user}", float(user))
    limiter.forget_idle(99.0)
    assert len(limiter._passed) == 11  # those of the last ten seconds, and of the moment they began
    limiter.forget_idle(200.0)
    assert not limiter._passed


@given(
    st.lists(st.integers(0, 8), max_size=60),  # eighths of a second between the tries: exact as floats
    st.integers(1, 5),
)
def test_no_window_anywhere_has_more_than_the_limit_and_waiting_as_told_is_enough(
    gaps: list[int], most: int
) -> None:
    limiter, now, passed = RateLimiter(most, 2.0), 0.0, list[float]()
    for gap in gaps:
        now += gap / 8
        wait = limiter.check("kai", now)
        if wait is None:
            passed.append(now)
        else:
            assert 0 < wait <= 2.0
            assert limiter.check("kai", now + wait / 2) is not None
    for at in passed:
        assert sum(1 for other in passed if at <= other < at + 2.0) <= most
