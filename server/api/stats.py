"""GET /stats: the server's figures, and what is connected to it."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import APIRouter, Query

from server.api.errors import error_responses
from server.api.health import HealthCheck
from server.core.latency import summarize_durations
from server.core.timestamps import rfc3339
from server.protocol import MAX_LISTED
from server.runtime.answers.figures import AnswerFigures
from server.runtime.base.metrics import Metrics
from server.runtime.messages.delivery import Delivery
from server.runtime.nodes.figures import NodeFigures
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection, Room

_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED)]
ListName = Literal["connections", "conversations", "events", "errors"]


class Statistics(Protocol):
    """What the routes show: a process's own figures, or a machine's."""

    async def document(self) -> dict[str, Any]:
        """Return the body of GET /stats."""
        ...

    async def listed(self, name: ListName, limit: int) -> dict[str, Any]:
        """Return the body of GET /stats/{name}: the first `limit` of the list."""
        ...


@dataclass(slots=True)
class _CpuMeter:
    """CPU use between two looks, in percent of one core."""

    at: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.process_time)
    percent: float = 0.0

    def look(self) -> float:
        now, used = time.monotonic(), time.process_time()
        if now - self.at >= 0.5:
            self.percent = round((used - self.used) / (now - self.at) * 100, 1)
            self.at, self.used = now, used
        return self.percent


class Stats:
    """Reads what others own in this process."""

    def __init__(
        self,
        condition: HealthCheck,
        node_id: str,
        backend: str,
        manager: ConnectionManager,
        metrics: Metrics,
        delivery: Delivery,
        answers: AnswerFigures,
        nodes: NodeFigures,
    ) -> None:
        self._condition = condition
        self._node_id = node_id
        self._backend = backend
        self._manager = manager
        self._metrics = metrics
        self._delivery = delivery
        self._answers = answers
        self._nodes = nodes
        self._cpu = _CpuMeter()

    async def document(self) -> dict[str, Any]:
        """Return the body of GET /stats: times in seconds or milliseconds as their names say."""
        metrics = self._metrics
        return {
            "server": self._server(),
            "connections": self._connections(),
            "messages": self._messages(),
            "latency_ms": {"ack": metrics.ack_latency.summary(), "commit": metrics.commit_latency.summary()},
            "store": self._store(),
            "backplane": self._nodes.read(),
            "ai": await self._answers.read(),
            "errors": {"total": metrics.errors_total, "last_minute": metrics.errors_last_minute},
            "process": self._process(),
        }

    async def parts(self) -> dict[str, Any]:
        """Return the document together with what the figures of several processes are computed from."""
        metrics, manager = self._metrics, self._manager
        return {
            "document": await self.document(),
            "latencies": {
                "ack": metrics.ack_latency.latencies(),
                "commit": metrics.commit_latency.latencies(),
            },
            "durations": list(metrics.durations),
            "users": list(manager.users),
            "conversations": [room.conversation_id for room in manager.rooms()],
            "batches": metrics.batches,
            "batched": metrics.batched,
        }

    def _server(self) -> dict[str, Any]:
        condition = self._condition
        return {
            "version": condition.version,
            "node_id": self._node_id,
            "status": condition.status,
            "started_at": rfc3339(condition.started_at),
            "uptime_seconds": condition.uptime,
            "pid": os.getpid(),
        }

    def _connections(self) -> dict[str, Any]:
        manager, metrics = self._manager, self._metrics
        return {
            "current": manager.current,
            "peak": metrics.connections_peak,
            "total": metrics.connections_total,
            "users": len(manager.users),
            "conversations": sum(1 for _ in manager.rooms()),
            "reconnections": metrics.reconnections,
            "rejected": dict(metrics.rejected),
            "closed": dict(metrics.closed),
            "duration_seconds": summarize_durations(metrics.durations),
        }

    def _messages(self) -> dict[str, Any]:
        manager, metrics = self._manager, self._metrics
        return {
            "received": manager.received,
            "sent": metrics.sent + sum(c.info.sent for c in manager.connections()),
            "acked": metrics.acked,
            "nacked": dict(metrics.nacked),
            "duplicates": metrics.duplicates,
            "ai_responses": metrics.ai_responses,
            "rate_per_second": metrics.rate_per_second,
        }

    def _store(self) -> dict[str, Any]:
        metrics = self._metrics
        mean = round(metrics.batched / metrics.batches, 2) if metrics.batches else 0.0
        return {
            "backend": self._backend,
            "batch_size": {"mean": mean, "max": metrics.largest_batch},
            "pending": self._delivery.pending,
        }

    def _process(self) -> dict[str, Any]:
        return {
            "rss_bytes": _rss_bytes(),
            "cpu_percent": self._cpu.look(),
            "event_loop_lag_ms": self._metrics.loop_lag.summary()["p99"],
        }

    async def listed(self, name: ListName, limit: int) -> dict[str, Any]:
        """Return the body of GET /stats/{name}; events and errors with the newest first."""
        rows: Iterable[dict[str, Any]]
        match name:
            case "connections":
                rows = map(_connection_row, self._manager.connections())
            case "conversations":
                rows = map(_room_row, self._manager.rooms())
            case "events":
                rows = _dated(reversed(self._metrics.events))
            case "errors":
                rows = _dated(reversed(self._metrics.errors))
        return _listed(rows, limit)


def _rss_bytes() -> int:
    """The process's memory: now where Linux tells, else its peak."""
    with contextlib.suppress(OSError):  # no such file elsewhere, or no descriptor left to open it with
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_SIZE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _listed(rows: Iterable[dict[str, Any]], limit: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for row in rows:
        if len(items) == limit:
            return {"items": items, "has_more": True}
        items.append(row)
    return {"items": items, "has_more": False}


def _dated(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({**record, "at": rfc3339(record["at"])} for record in records)


def _connection_row(connection: Connection) -> dict[str, Any]:
    info = connection.info
    silent = time.monotonic() - info.last_heartbeat
    return {
        "connection_id": info.connection_id,
        "user_id": info.user_id,
        "conversation_id": info.conversation_id,
        "client_id": info.client_id,
        "session_id": info.session_id,
        "ip": info.ip,
        "connected_at": rfc3339(info.connected_at),
        "last_heartbeat": rfc3339(int((time.time() - silent) * 1000)),
        "sent": info.sent,
        "received": info.received,
        "queued": connection.queued,
        "reconnects": info.reconnects,
    }


def _room_row(room: Room) -> dict[str, Any]:
    assert room.conversation is not None
    return {
        "conversation_id": room.conversation_id,
        "user_id": room.conversation.user_id,
        "devices": len(room.connections),
        "messages": room.last_seq,
        "last_seq": room.last_seq,
        "last_activity": rfc3339(room.last_activity),
    }


def stats_router(stats: Statistics) -> APIRouter:
    router = APIRouter(prefix="/stats", tags=["status"])

    @router.get("", responses=error_responses())
    async def figures() -> dict[str, Any]:
        """Counters since the start, latencies over the last minute."""
        return await stats.document()

    @router.get("/connections", responses=error_responses())
    async def connections(limit: Limit = 100) -> dict[str, Any]:
        """Live connections."""
        return await stats.listed("connections", limit)

    @router.get("/conversations", responses=error_responses())
    async def conversations(limit: Limit = 100) -> dict[str, Any]:
        """Conversations that somebody is connected to."""
        return await stats.listed("conversations", limit)

    @router.get("/events", responses=error_responses())
    async def events(limit: Limit = 100) -> dict[str, Any]:
        """The last connects, reconnects, replacements and disconnects, the newest first."""
        return await stats.listed("events", limit)

    @router.get("/errors", responses=error_responses())
    async def errors(limit: Limit = 100) -> dict[str, Any]:
        """The last errors and NACKs with their context, the newest first."""
        return await stats.listed("errors", limit)

    return router
