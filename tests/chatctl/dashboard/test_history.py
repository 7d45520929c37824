from chatctl.dashboard.history import History, Snapshot
from tests.chatctl.dashboard.figures_of_a_server import stats


def snapshot(at: float, received: int, started_at: str = "2026-01-01T00:00:00.000Z") -> Snapshot:
    return Snapshot(at, stats(received, received * 2, started_at), [], [], [])


def test_rates_are_per_second_of_the_time_that_passed() -> None:
    history = History(snapshot(0, 100))
    history.add(snapshot(2, 400))
    assert list(history.received.values) == [150.0]
    assert list(history.sent.values) == [300.0]


def test_a_restarted_server_is_no_negative_rate() -> None:
    history = History(snapshot(0, 100))
    history.add(snapshot(1, 3, started_at="2026-01-01T00:01:00.000Z"))
    history.add(snapshot(2, 10, started_at="2026-01-01T00:01:00.000Z"))
    assert list(history.received.values) == [None, 7.0]


def test_time_without_the_server_is_a_gap_and_its_traffic_is_spread_over_it() -> None:
    history = History(snapshot(0, 0))
    history.miss("away")
    history.miss("away")
    history.add(snapshot(3, 30))
    assert list(history.received.values) == [None, None, 10.0]
    assert history.away is None
