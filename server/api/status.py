"""GET /, /health and /stats: what the server says of itself."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.routing import NoMatchFound

from server.api.errors import RETRY_AFTER, error_responses
from server.core.clock import rfc3339
from server.ports import MessageStore
from server.runtime.connection import Connection
from server.runtime.delivery import Delivery
from server.runtime.gateway import Gateway
from server.runtime.manager import ConnectionManager
from server.runtime.room import Room

_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
_LIST_MAX: Final = 1000
_HEALTH_SECONDS: Final = 2.0  # a store that takes longer to answer is no better than one that does not
Limit = Annotated[int, Query(ge=1, le=_LIST_MAX)]


HealthStatus = Literal["ok", "unavailable", "draining"]


class Health(BaseModel):
    """Whether the server can be given work."""

    status: HealthStatus
    checks: dict[str, Literal["ok", "unavailable"]] = Field(examples=[{"store": "ok", "backplane": "ok"}])
    version: str
    uptime_seconds: float


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


class Status:
    """Reads what others own."""

    def __init__(
        self,
        version: str,
        node_id: str,
        store: MessageStore,
        manager: ConnectionManager,
        delivery: Delivery,
        gateway: Gateway,
    ) -> None:
        self.version = version
        self._node_id = node_id
        self._store = store
        self._manager = manager
        self._delivery = delivery
        self._gateway = gateway
        self._started_at = time.time_ns() // 1_000_000
        self._started = time.monotonic()
        self._cpu = _CpuMeter()

    @property
    def uptime(self) -> float:
        return round(time.monotonic() - self._started, 3)

    async def health(self) -> "Health":
        store: HealthStatus = "ok" if self._delivery.is_saving and await self._answers() else "unavailable"
        return Health(
            status="draining" if self._gateway.is_draining else store,
            checks={"store": store, "backplane": "ok"},
            version=self.version,
            uptime_seconds=self.uptime,
        )

    async def _answers(self) -> bool:
        """Whether the store can be read."""
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                return await self._store.is_healthy()
        except TimeoutError:
            return False

    def stats(self) -> dict[str, Any]:
        """The document of GET /stats; times in seconds or milliseconds as their names say."""
        manager, metrics = self._manager, self._manager.metrics
        connections = list(manager.connections())
        return {
            "server": {
                "version": self.version,
                "node_id": self._node_id,
                "status": self._status(),
                "started_at": rfc3339(self._started_at),
                "uptime_seconds": self.uptime,
                "pid": os.getpid(),
            },
            "connections": {
                "current": len(connections),
                "peak": metrics.connections_peak,
                "total": metrics.connections_total,
                "users": manager.users,
                "conversations": sum(1 for _ in manager.rooms()),
                "reconnections": metrics.reconnections,
                "rejected": dict(metrics.rejected),
                "closed": dict(metrics.closed),
                "duration_seconds": metrics.duration_summary(),
            },
            "messages": {
                "received": manager.received,
                "sent": metrics.sent + sum(c.info.sent for c in connections),
                "acked": metrics.acked,
                "nacked": dict(metrics.nacked),
                "duplicates": metrics.duplicates,
                "ai_responses": metrics.ai_responses,
                "rate_per_second": metrics.rate_per_second,
            },
            "latency_ms": {"ack": metrics.ack_latency.summary(), "commit": metrics.commit_latency.summary()},
            "store": {
                "backend": self._store.backend,
                "batch_size": {
                    "mean": round(metrics.batched / metrics.batches, 2) if metrics.batches else 0.0,
                    "max": metrics.largest_batch,
                },
                "pending": self._delivery.pending,
            },
            "backplane": {"backend": "local", "status": "ok", "nodes": 1},
            "errors": {"total": metrics.errors_total, "last_minute": metrics.errors_last_minute},
            "process": {
                "rss_bytes": rss_bytes(),
                "cpu_percent": self._cpu.look(),
                "event_loop_lag_ms": metrics.loop_lag.summary()["p99"],
            },
        }

    def _status(self) -> HealthStatus:
        """Without asking the store."""
        if self._gateway.is_draining:
            return "draining"
        return "ok" if self._delivery.is_saving else "unavailable"

    def connections(self, limit: int) -> dict[str, Any]:
        return _listed((_connection_row(c) for c in self._manager.connections()), limit)

    def conversations(self, limit: int) -> dict[str, Any]:
        return _listed((_room_row(room) for room in self._manager.rooms()), limit)

    def events(self, limit: int) -> dict[str, Any]:
        """The newest first."""
        return _listed(_dated(reversed(self._manager.metrics.events)), limit)

    def errors(self, limit: int) -> dict[str, Any]:
        """The newest first."""
        return _listed(_dated(reversed(self._manager.metrics.errors)), limit)


def rss_bytes() -> int:
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


def _page_link(request: Request) -> dict[str, str]:
    """Where the chat page is, unless it is switched off."""
    with contextlib.suppress(NoMatchFound):
        return {"app": request.app.url_path_for("page")}
    return {}


def status_router(status: Status) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.head("/", include_in_schema=False)
    @router.get("/")
    async def about(request: Request) -> dict[str, Any]:
        """Name, version, status and where to go from here."""
        health = await status.health()
        links = {
            "websocket": "/ws/{user_id}?conversation_id={conversation_id}",
            **_page_link(request),
            "docs": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "stats": "/stats",
        }
        return {"name": "chatctl", "version": status.version, "status": health.status, "links": links}

    @router.head("/health", include_in_schema=False)
    @router.get("/health", responses={503: {"model": Health, "description": "Give it no work"}})
    async def health(response: Response) -> Health:
        """200 while messages can be saved; 503 when they cannot, or when the node drains."""
        answer = await status.health()
        if answer.status != "ok":
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return answer

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the process answers."""
        return {"status": "ok"}

    @router.get("/stats", responses=error_responses())
    async def stats() -> dict[str, Any]:
        """Counters since the start, latencies over the last minute."""
        return status.stats()

    @router.get("/stats/connections", responses=error_responses())
    async def connections(limit: Limit = 100) -> dict[str, Any]:
        """Live connections."""
        return status.connections(limit)

    @router.get("/stats/conversations", responses=error_responses())
    async def conversations(limit: Limit = 100) -> dict[str, Any]:
        """Conversations that somebody is connected to."""
        return status.conversations(limit)

    @router.get("/stats/events", responses=error_responses())
    async def events(limit: Limit = 100) -> dict[str, Any]:
        """The last connects, reconnects, replacements and disconnects, the newest first."""
        return status.events(limit)

    @router.get("/stats/errors", responses=error_responses())
    async def errors(limit: Limit = 100) -> dict[str, Any]:
        """The last errors and NACKs with their context, the newest first."""
        return status.errors(limit)

    return router
