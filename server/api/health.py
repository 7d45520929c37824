"""GET / and /health: what the server is, and whether it can be given work."""

import contextlib
import time
from typing import Any, Literal, Protocol

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.routing import NoMatchFound

from server.api.errors import RETRY_AFTER
from server.ports import MessageStore
from server.runtime.base.clock import now_ms
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.join import JoinHandler
from server.runtime.nodes.figures import NodeFigures

HealthStatus = Literal["ok", "unavailable", "draining"]


class Health(BaseModel):
    """Whether the server can be given work."""

    status: HealthStatus
    checks: dict[str, Literal["ok", "unavailable"]] = Field(examples=[{"store": "ok", "backplane": "ok"}])
    version: str
    uptime_seconds: float


class Condition(Protocol):
    """How a process is, or a machine."""

    @property
    def version(self) -> str:
        """The server's."""
        ...

    async def health(self) -> Health:
        """Return the body of GET /health."""
        ...


class HealthCheck:
    """Tells since when this process runs, and whether it takes work."""

    def __init__(
        self, version: str, store: MessageStore, delivery: Delivery, joins: JoinHandler, nodes: NodeFigures
    ) -> None:
        self.version = version
        self.started_at = now_ms()
        self._started = time.monotonic()
        self._store = store
        self._delivery = delivery
        self._joins = joins
        self._nodes = nodes

    @property
    def uptime(self) -> float:
        """Seconds."""
        return round(time.monotonic() - self._started, 3)

    @property
    def status(self) -> HealthStatus:
        """Without asking the store."""
        if self._joins.is_draining:
            return "draining"
        return "ok" if self._delivery.is_saving else "unavailable"

    async def health(self) -> Health:
        """Return the body of GET /health; asks the store. Without its backplane a node goes on."""
        store: HealthStatus = (
            "ok" if self._delivery.is_saving and await self._store.is_healthy() else "unavailable"
        )
        return Health(
            status="draining" if self._joins.is_draining else store,
            checks={"store": store, "backplane": self._nodes.status},
            version=self.version,
            uptime_seconds=self.uptime,
        )


def _page_link(request: Request) -> dict[str, str]:
    """Where the chat page is, unless it is switched off."""
    with contextlib.suppress(NoMatchFound):
        return {"app": request.app.url_path_for("page")}
    return {}


def health_router(condition: Condition) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.head("/", include_in_schema=False)
    @router.get("/")
    async def about(request: Request) -> dict[str, Any]:
        """Name, version, status and where to go from here."""
        health = await condition.health()
        paths = {
            "websocket": "/ws/{user_id}?conversation_id={conversation_id}",
            **_page_link(request),
            "docs": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "stats": "/stats",
        }
        root_path = request.scope.get("root_path", "")
        links = {name: root_path + path for name, path in paths.items()}
        return {"name": "chatctl", "version": condition.version, "status": health.status, "links": links}

    @router.head("/health", include_in_schema=False)
    @router.get("/health", responses={503: {"model": Health, "description": "Give it no work"}})
    async def health(response: Response) -> Health:
        """200 while messages can be saved; 503 when they cannot, or when the node drains."""
        answer = await condition.health()
        if answer.status != "ok":
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return answer

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the process answers."""
        return {"status": "ok"}

    @router.options("/", include_in_schema=False)
    @router.options("/health", include_in_schema=False)
    @router.options("/health/live", include_in_schema=False)
    async def options() -> Response:
        """Some load balancers probe with it."""
        return Response(status_code=204, headers={"Allow": "GET, HEAD, OPTIONS"})

    return router
