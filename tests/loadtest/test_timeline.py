"""The run second by second."""

from loadtest.tally import Second
from loadtest.timeline import timeline


def test_quiet_seconds_are_points_too() -> None:
    points = timeline({1: Second(sent=5)}, {}, ran=3.2)
    assert [(point.t, point.sent) for point in points] == [(0, 0), (1, 5), (2, 0), (3, 0)]


def test_what_came_after_the_end_is_not_cut_off() -> None:
    assert [point.acked for point in timeline({0: Second(), 4: Second(acked=1)}, {}, ran=2.0)] == [
        0,
        0,
        0,
        0,
        1,
    ]


def test_the_servers_metrics_stand_in_their_second() -> None:
    stats = {
        "process": {"cpu_percent": 12.5, "rss_bytes": 1000, "event_loop_lag_ms": 0.5},
        "store": {"batch_size": {"mean": 2.5, "max": 9}},
        "connections": {"current": 60},
        "latency_ms": {"ack": {"p99": 4.0}, "commit": {"p99": 3.0}},
    }
    first, second = timeline({}, {1: stats}, ran=2.0)
    assert first.server is None
    assert second.server is not None
    assert second.server.model_dump() == {
        "cpu_percent": 12.5,
        "rss_bytes": 1000,
        "loop_lag_ms": 0.5,
        "batch_mean": 2.5,
        "batch_max": 9,
        "connections": 60,
        "ack_p99_ms": 4.0,
        "commit_p99_ms": 3.0,
    }


def test_a_server_that_tells_little_leaves_the_rest_open() -> None:
    (point,) = timeline({}, {0: {"connections": {}}}, ran=1.0)
    assert point.server is not None
    assert set(point.server.model_dump().values()) == {None}
