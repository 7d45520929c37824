"""Several processes' figures as one server's."""

from copy import deepcopy
from typing import Any

import pytest

from server.api.health import Health, HealthStatus
from server.api.merging import merge_health, merge_lists, merge_stats
from server.core.latency import LatencyWindow


def part(number: int) -> dict[str, Any]:
    """The figures of a worker; of another number they are other ones."""
    window = LatencyWindow()
    window.record(number / 100)
    return {
        "document": {
            "server": {
                "node_id": f"n{number}",
                "status": "ok",
                "started_at": f"2026-01-0{number}",
                "uptime_seconds": 10.0 - number,
                "pid": number,
            },
            "connections": {"current": number, "closed": {"1000": number, f"400{number}": 1}},
            "store": {"backend": "postgresql", "batch_size": {"mean": 1.0, "max": number}, "pending": 1},
            "backplane": {"backend": "redis", "nodes": 3},
            "ai": {
                "turns_waiting": number,
                "oldest_unanswered_seconds": 1.0,
                "streams": 1,
                "breaker": "closed",
                "dead_letters": 2,
                "paused": False,
            },
            "process": {"rss_bytes": 100, "event_loop_lag_ms": float(number)},
            "disclosures": {"first": number},
        },
        "latencies": {"ack": window.latencies(), "commit": window.latencies()},
        "durations": [float(number)],
        "users": ["kai", f"user{number}"],
        "conversations": ["c", f"c{number}"],
        "batches": number,
        "batched": 10,
    }


def test_counters_are_added_and_what_each_sees_whole_is_not() -> None:
    found = merge_stats([part(1), part(2), part(3)], all_there=True)
    assert found["connections"] == {
        "current": 6,
        "closed": {"1000": 6, "4001": 1, "4002": 1, "4003": 1},
        "users": 4,
        "conversations": 4,
        "duration_seconds": {"mean": 2.0, "p50": 2.0, "p95": 3.0, "max": 3.0},
    }
    assert found["store"] == {
        "backend": "postgresql",
        "batch_size": {"mean": 5.0, "max": 3},
        "pending": 3,
    }
    assert found["backplane"] == {"backend": "redis", "nodes": 3}
    assert (found["ai"]["turns_waiting"], found["ai"]["dead_letters"], found["ai"]["streams"]) == (3, 2, 3)
    assert found["process"] == {"rss_bytes": 300, "event_loop_lag_ms": 3.0}
    assert found["disclosures"] == {"first": 6}
    assert found["latency_ms"]["ack"]["max"] == 30.0
    server = found["server"]
    assert (server["status"], server["started_at"], server["uptime_seconds"]) == ("ok", "2026-01-01", 9.0)


def test_merging_leaves_the_parts_as_they_are() -> None:
    parts = [part(1), part(2)]
    before = deepcopy(parts)
    merge_stats(parts, all_there=True)
    assert parts == before


@pytest.mark.parametrize(
    ("states", "paused", "expected"),
    [
        (["closed", "closed"], [False, False], ("closed", False)),
        (["closed", "half_open"], [False, False], ("half_open", False)),
        (["half_open", "open"], [False, True], ("open", True)),
    ],
)
def test_the_breaker_is_the_one_that_lets_the_least_through(
    states: list[str], paused: list[bool], expected: tuple[str, bool]
) -> None:
    parts = [part(1), part(2)]
    for each, state, is_paused in zip(parts, states, paused, strict=True):
        each["document"]["ai"] |= {"breaker": state, "paused": is_paused}
    found = merge_stats(parts, all_there=True)["ai"]
    assert (found["breaker"], found["paused"]) == expected


def test_a_worker_that_does_not_answer_makes_the_server_unavailable() -> None:
    assert merge_stats([part(1)], all_there=False)["server"]["status"] == "unavailable"


def health(status: HealthStatus, store: str = "ok") -> Health:
    return Health.model_validate(
        {
            "status": status,
            "checks": {"store": store, "backplane": "ok"},
            "version": "1",
            "uptime_seconds": 1.0,
        }
    )


@pytest.mark.parametrize(
    ("own", "others", "expected", "checks"),
    [
        ("ok", ["ok"], "ok", {"store": "ok", "backplane": "ok", "workers": "ok"}),
        ("ok", ["unavailable"], "unavailable", {"store": "unavailable", "backplane": "ok", "workers": "ok"}),
        ("ok", ["ok", None], "unavailable", {"store": "ok", "backplane": "ok", "workers": "unavailable"}),
        ("ok", ["draining", None], "draining", {"store": "ok", "backplane": "ok", "workers": "unavailable"}),
        ("draining", ["ok"], "draining", {"store": "ok", "backplane": "ok", "workers": "ok"}),
    ],
)
def test_health_is_the_worst_of_all(
    own: HealthStatus, others: list[HealthStatus | None], expected: str, checks: dict[str, str]
) -> None:
    answers = [each and health(each, "unavailable" if each == "unavailable" else "ok") for each in others]
    found = merge_health(health(own), answers)
    assert (found.status, found.checks) == (expected, checks)


def room(conversation: str, devices: int, seq: int) -> dict[str, Any]:
    return {
        "conversation_id": conversation,
        "user_id": "kai",
        "devices": devices,
        "messages": seq,
        "last_seq": seq,
        "last_activity": f"2026-01-0{seq}",
    }


def test_a_conversation_on_two_workers_is_one_row() -> None:
    own = {"items": [room("a", 1, 5), room("b", 2, 1)], "has_more": False}
    other = {"items": [room("a", 3, 4)], "has_more": False}
    expected = [room("a", 4, 5), room("b", 2, 1)]
    assert merge_lists("conversations", [own, other], 10) == {"items": expected, "has_more": False}


def test_events_of_all_are_in_the_order_of_their_time_with_the_newest_first() -> None:
    own = {"items": [{"at": "5"}, {"at": "1"}], "has_more": False}
    other = {"items": [{"at": "4"}, {"at": "2"}], "has_more": False}
    found = merge_lists("events", [own, other], 3)
    assert found == {"items": [{"at": "5"}, {"at": "4"}, {"at": "2"}], "has_more": True}


def test_a_list_that_was_cut_at_a_worker_has_more() -> None:
    own = {"items": [{"connection_id": "1"}], "has_more": True}
    other: dict[str, Any] = {"items": [], "has_more": False}
    assert merge_lists("connections", [own, other], 5)["has_more"]
