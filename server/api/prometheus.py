"""GET /metrics: the figures of /stats for Prometheus."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.api.errors import error_responses
from server.api.stats import Statistics
from server.core.breaker import BREAKER_STATES

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Final = (
    ("connections", "total", "chat_connections_opened", "Connections since the start."),
    ("connections", "reconnections", "chat_reconnections", "Devices that came back."),
    ("messages", "received", "chat_frames_received", "Frames from clients."),
    ("messages", "sent", "chat_frames_sent", "Frames queued to connections."),
    ("messages", "acked", "chat_acks", "Frames answered by ACK."),
    ("messages", "duplicates", "chat_duplicates", "Resends of saved messages."),
    ("messages", "ai_responses", "chat_ai_responses", "Messages of AIs saved."),
    ("errors", "total", "chat_errors", "NACKs, ERRORs and faults."),
)
_LABELLED: Final = (
    ("messages", "nacked", "chat_nacks", "code", "Frames answered by NACK."),
    ("connections", "closed", "chat_connections_closed", "code", "Connections that ended."),
    ("ai", "failures", "chat_ai_failures", "kind", "Tries to answer, or to tell of an event, that failed."),
    ("connections", "rejected", "chat_connections_rejected", "reason", "Connections that were refused."),
)
_GAUGES: Final = (
    ("connections", "current", "chat_connections", "Open connections."),
    ("connections", "users", "chat_users", "Users with an open connection."),
    ("connections", "conversations", "chat_conversations", "Conversations with an open connection."),
    ("messages", "rate_per_second", "chat_message_rate", "Messages saved a second, over the last ten."),
    ("backplane", "nodes", "chat_nodes", "Nodes that are alive, as far as this one knows."),
    ("store", "pending", "chat_store_pending", "Messages whose fate is open."),
    ("ai", "turns_waiting", "chat_turns_waiting", "Turns that are owed an answer."),
    (
        "ai",
        "oldest_unanswered_seconds",
        "chat_oldest_unanswered_seconds",
        "Age of the oldest unanswered turn.",
    ),
    ("ai", "streams", "chat_streams", "Answers that are being written."),
    ("ai", "dead_letters", "chat_dead_letters", "Turns that were given up."),
    ("ai", "paused", "chat_deliveries_paused", "1 while deliveries to the AI service are paused."),
    ("server", "uptime_seconds", "chat_uptime_seconds", "Seconds since the start."),
    ("process", "rss_bytes", "chat_resident_bytes", "Memory of the process."),
    ("process", "cpu_percent", "chat_cpu_percent", "CPU of the process, in percent of one core."),
    ("process", "event_loop_lag_ms", "chat_event_loop_lag_ms", "How late the event loop is, p99."),
)
_QUANTILES: Final = {"p50": "0.5", "p95": "0.95", "p99": "0.99", "max": "1"}


class _Figures(Collector):
    """One look at the statistics. No label grows with users or rooms."""

    def __init__(self, stats: dict[str, Any]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        for section, key, name, text in _COUNTERS:
            yield CounterMetricFamily(name, text, stats[section][key])
        for section, key, name, text in _GAUGES:
            yield GaugeMetricFamily(name, text, stats[section][key])
        for section, key, name, label, text in _LABELLED:
            counter = CounterMetricFamily(name, text, labels=[label])
            for value, count in stats[section][key].items():
                counter.add_metric([value], count)
            yield counter
        breaker = GaugeMetricFamily(
            "chat_ai_breaker", "1 for the state of the breaker over the AI service.", labels=["state"]
        )
        for state in BREAKER_STATES:
            breaker.add_metric([state], stats["ai"]["breaker"] == state)
        yield breaker
        for what, quantiles in stats["latency_ms"].items():
            gauge = GaugeMetricFamily(
                f"chat_{what}_latency_ms", f"Milliseconds to {what}, last minute.", labels=["quantile"]
            )
            for key, quantile in _QUANTILES.items():
                gauge.add_metric([quantile], quantiles[key])
            yield gauge


def render(stats: dict[str, Any]) -> bytes:
    """The text format, of a document of GET /stats."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(stats))
    return generate_latest(registry)


def prometheus_router(stats: Statistics) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/metrics", response_class=Response, responses=error_responses())
    async def metrics() -> Response:
        """Prometheus text format."""
        text = await asyncio.to_thread(render, await stats.document())
        return Response(text, media_type=_CONTENT_TYPE)

    return router
