import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.retrying import Backoff, parse_retry_after

NOW = 1_792_000_000.0  # Wed, 14 Oct 2026 17:46:40 GMT


def test_the_pause_doubles_from_a_second_up_to_a_minute() -> None:
    pauses = [Backoff().pause(failures, fraction=0.0) for failures in range(1, 9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_those_who_failed_together_come_back_apart() -> None:
    assert Backoff().pause(10, fraction=1.0) == 48
    assert Backoff().pause(1, fraction=0.0, retry_after=10) == 10
    assert Backoff().pause(1, fraction=1.0, retry_after=10) == 12


def test_what_hardly_mends_itself_is_tried_as_seldom_as_ever() -> None:
    assert Backoff().pause(1, fraction=0.0, is_slow=True) == 60


def test_a_short_retry_after_does_not_shorten_the_pause() -> None:
    assert Backoff().pause(5, fraction=0.0, retry_after=0.5) == 16


@given(
    st.integers(1, 10**30),
    st.floats(0, 1),
    st.none() | st.floats(0, 3600),
    st.booleans(),
)
def test_no_number_of_failures_makes_it_fail_or_wait_longer_than_asked(
    failures: int, fraction: float, retry_after: float | None, is_slow: bool
) -> None:
    pause = Backoff(1.0, 300.0).pause(failures, fraction, retry_after, is_slow)
    assert max(0.8, retry_after or 0.0) <= pause <= max(300.0, 1.2 * (retry_after or 0.0))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("1e300", 3600.0),
        ("inf", 3600.0),
        ("Wed, 14 Oct 2026 17:47:00 GMT", 20.0),
        ("Wed, 14 Oct 2026 17:00:00 GMT", 0.0),
        ("Wed, 14 Oct 9999 17:00:00 GMT", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_never_longer_than_an_hour(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_makes_it_fail(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600
