"""Stats documents as rest.md describes them, with believable numbers."""

from typing import Any

STARTED = "2026-01-01T00:00:00.000Z"


def stats(received: int = 0, sent: int = 0, started_at: str = STARTED, **nacked: int) -> dict[str, Any]:
    return {
        "server": {
            "version": "0.1.0",
            "node_id": "node-a1b2c3",
            "status": "ok",
            "started_at": started_at,
            "uptime_seconds": 4000,
            "pid": 4242,
        },
        "connections": {
            "current": 61,
            "peak": 90,
            "total": 12345,
            "users": 20,
            "conversations": 21,
            "reconnections": 7,
            "rejected": {"too_many": 2},
            "closed": {"1000": 5},
            "duration_seconds": {"mean": 60.0, "p50": 50.0, "p95": 90.0, "max": 100.0},
        },
        "messages": {
            "received": received,
            "sent": sent,
            "acked": 34567,
            "nacked": nacked,
            "duplicates": 3,
            "ai_responses": 88,
            "rate_per_second": 12.5,
        },
        "latency_ms": {
            "ack": {"p50": 0.61, "p95": 1.24, "p99": 2.06, "max": 14.9},
            "commit": {"p50": 0.41, "p95": 0.93, "p99": 1.71, "max": 128.4},
        },
        "store": {"backend": "sqlite", "batch_size": {"mean": 3.42, "max": 57}, "pending": 4},
        "backplane": {"backend": "local", "status": "ok", "nodes": 1},
        "ai": {
            "turns_waiting": 0,
            "oldest_unanswered_seconds": 0.0,
            "streams": 3,
            "failures": {},
            "breaker": "closed",
            "dead_letters": 0,
            "paused": False,
        },
        "errors": {"total": 41, "last_minute": 6},
        "process": {"rss_bytes": 64 * 2**20, "cpu_percent": 37.5, "event_loop_lag_ms": 1.87},
    }


def room(name: str) -> dict[str, Any]:
    return {
        "conversation_id": name,
        "user_id": "user123",
        "devices": 3,
        "messages": 1204,
        "last_seq": 1204,
        "last_activity": "2026-01-01T00:01:00.000Z",
    }


def event(name: str, second: int, **context: Any) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{second:02}.000Z", "event": name, "user_id": "user123", **context}


def error(code: str, second: int) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{second:02}.000Z", "code": code, "text": "no", "user_id": "user123"}
