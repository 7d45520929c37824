"""What the server counts of itself."""

from types import SimpleNamespace

import pytest

from server.runtime.base import metrics as module
from server.runtime.base.metrics import Metrics


def test_the_message_rate_is_that_of_the_last_ten_seconds() -> None:
    metrics = Metrics()
    for _ in range(10):
        metrics.chat_messages += 3
        metrics.ai_responses += 1
        metrics.tick()
    assert metrics.rate_per_second == 4.0
    for _ in range(10):
        metrics.tick()
    assert metrics.rate_per_second == 0.0


def test_the_last_events_and_errors_are_kept_and_all_errors_counted() -> None:
    metrics = Metrics(kept_events=2, kept_errors=2)
    for number in range(5):
        metrics.record_event("connect", user_id=f"user{number}")
        metrics.record_error("rate_limited", "Too many", user_id=f"user{number}")
    assert [event["user_id"] for event in metrics.events] == ["user3", "user4"]
    assert [(e["code"], e["text"], e["user_id"]) for e in metrics.errors] == [
        ("rate_limited", "Too many", "user3"),
        ("rate_limited", "Too many", "user4"),
    ]
    assert metrics.errors_total == 5


def test_errors_of_the_last_minute_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, time_ns=lambda: 0))
    metrics = Metrics()
    metrics.record_error("rate_limited", "Too many")
    now += 50
    metrics.record_error("rate_limited", "Too many")
    assert metrics.errors_last_minute == 2
    now += 20
    assert (metrics.errors_last_minute, metrics.errors_total) == (1, 2)
