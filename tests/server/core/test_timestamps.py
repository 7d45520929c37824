from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.timestamps import DAY_MS, accepted_client_stamp, rfc3339

NOW = 1_790_000_000_000
ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.integers(0, 253_000_000_000_000))
def test_a_stamp_is_utc_with_milliseconds(ms: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert rfc3339(ms) == expected.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@given(
    st.integers(-DAY_MS + 1, DAY_MS - 1), ZONES, st.sampled_from(["seconds", "milliseconds", "microseconds"])
)
def test_a_clients_stamp_within_a_day_is_kept_as_it_is_in_any_zone(
    ahead: int, zone: timezone, spec: str
) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW + ahead)
    stamp = at.astimezone(zone).isoformat(timespec=spec)
    assert accepted_client_stamp(stamp, NOW) == (
        stamp if ahead > -DAY_MS + 1000 else accepted_client_stamp(stamp, NOW)
    )


@pytest.mark.parametrize("days", [-3, -1.01, 1.01, 3, 4000])
def test_a_clients_stamp_more_than_a_day_away_is_ignored(days: float) -> None:
    assert accepted_client_stamp(rfc3339(int(NOW + days * DAY_MS)), NOW) is None


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        7,
        True,
        [],
        {},
        "",
        "now",
        "2026-09-21",
        "2026-09-21T14:13:20",  # no zone
        "2026-09-21 14:13:20Z",
        "2026-02-31T14:13:20Z",
        "2026-09-21T25:13:20Z",
        "2026-09-21T14:13:20.Z",
        "2026-09-21T14:13:20.1234567890Z",
        "2026-09-21T14:13:20+2:00",
        "2026-09-21T14:13:20Z\n",
        '2026-09-21T14:13:20Z","x":"',
        "٢٠٢٦-09-21T14:13:20Z",
    ],
)
def test_what_is_no_date_is_ignored(stamp: object) -> None:
    assert accepted_client_stamp(stamp, NOW) is None


@pytest.mark.parametrize(
    "stamp", ["2026-09-21T14:13:20Z", "2026-09-21t14:13:20z", "2026-09-21T16:13:20.5+02:00"]
)
def test_the_forms_of_rfc_3339_are_understood(stamp: str) -> None:
    assert accepted_client_stamp(stamp, NOW) == stamp
