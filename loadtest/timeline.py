"""The run second by second: what the generator measured, and the server's own metrics beside it."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from loadtest.result import Point, ServerSample
from loadtest.tally import Second


def timeline(seconds: Mapping[int, Second], samples: Mapping[int, dict[str, Any]], ran: float) -> list[Point]:
    """A point for each second of the run, quiet ones too, and what came after it as long as anything did."""
    last = max([ceil(ran) - 1, *seconds], default=-1)
    return [point(number, seconds.get(number), samples.get(number)) for number in range(last + 1)]


def point(number: int, second: Second | None, stats: dict[str, Any] | None) -> Point:
    second = second or Second()
    return Point(
        t=number,
        sent=second.sent,
        acked=second.acked,
        nacked=second.nacked,
        delivered=second.delivered,
        errors=second.errors,
        ack_p50=second.ack.percentile(50),
        ack_p99=second.ack.percentile(99),
        ack_max=second.ack.maximum(),
        delivery_p50=second.delivery.percentile(50),
        delivery_p99=second.delivery.percentile(99),
        delivery_max=second.delivery.maximum(),
        server=_server_sample(stats) if stats else None,
    )


def _server_sample(stats: dict[str, Any]) -> ServerSample:
    process, batch = stats.get("process", {}), stats.get("store", {}).get("batch_size", {})
    latency = stats.get("latency_ms", {})
    return ServerSample(
        cpu_percent=process.get("cpu_percent"),
        rss_bytes=process.get("rss_bytes"),
        loop_lag_ms=process.get("event_loop_lag_ms"),
        batch_mean=batch.get("mean"),
        batch_max=batch.get("max"),
        connections=stats.get("connections", {}).get("current"),
        ack_p99_ms=latency.get("ack", {}).get("p99"),
        commit_p99_ms=latency.get("commit", {}).get("p99"),
    )
