"""What operators do: announce, close a connection, empty the node."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol

import structlog
from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from server.api.bodies import Positive, StrictJsonRoute, Text, not_both
from server.api.errors import ApiError, not_found, write_responses
from server.core.inbound import check_text
from server.core.model import SHUTTING_DOWN, Refused
from server.ports import MessageStore
from server.protocol import ErrorCode, Identifier
from server.runtime.base.background import Background
from server.runtime.process.shutdown import Shutdown
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.signals.announcer import Announcer

log = structlog.get_logger()


class Announcement(BaseModel):
    """To one user, to one conversation, or to everybody."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"data": "We are back at 10:00.", "user_id": "user123"}],
            **not_both("user_id", "conversation_id"),
        }
    )

    data: Text
    user_id: Identifier | None = None
    conversation_id: Identifier | None = None


class Told(BaseModel):
    """What was sent, and to how many devices."""

    type: str = "ACK"
    delivered_to: int = Field(description="Devices that it was queued to.", examples=[2])


class DrainRequest(BaseModel):
    """How fast the node empties."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"per_second": 20}]})

    per_second: Positive = Field(100, le=100_000, description="Connections closed a second.")


class Draining(BaseModel):
    """The node empties."""

    status: str = "draining"
    connections: int = Field(description="Still open.", examples=[1200])


class Drain(Protocol):
    """Empties a process, or all of a machine."""

    async def begin(self, per_second: int) -> Draining:
        """Close so many connections a second; asked again, go on at the new pace."""
        ...

    async def undo(self) -> None:
        """Take connections again. Raises ApiError once the process is about to end."""
        ...


class NodeDrain:
    """Empties this process."""

    def __init__(self, manager: ConnectionManager, shutdown: Shutdown, background: Background) -> None:
        self._manager = manager
        self._shutdown = shutdown
        self._background = background

    async def begin(self, per_second: int) -> Draining:
        """Close so many connections a second; asked again, go on at the new pace."""
        self._shutdown.begin_draining()
        self._background.run(self._shutdown.empty(per_second), "drain")
        log.info("draining", per_second=per_second, connections=self._manager.current)
        return Draining(connections=self._manager.current)

    async def undo(self) -> None:
        """Take connections again, also where nothing was drained.

        Raises ApiError once the process is about to end.
        """
        if not self._shutdown.stop_emptying():
            raise ApiError(SHUTTING_DOWN)
        log.info("takes connections again", connections=self._manager.current)


class Operations:
    """Raises ApiError, StoreUnavailable."""

    def __init__(
        self,
        kick: Callable[[str], Awaitable[bool]],
        store: MessageStore,
        announcer: Announcer,
        max_length: int,
    ) -> None:
        """`kick`: see Node."""
        self._kick = kick
        self._store = store
        self._announcer = announcer
        self._max_length = max_length

    async def announce(self, request: Announcement) -> Told:
        if request.user_id is not None and request.conversation_id is not None:
            text = "user_id and conversation_id: only one of them is allowed"
            raise ApiError(Refused(ErrorCode.VALIDATION_FAILED, text))
        if (why := check_text(request.data, self._max_length)) is not None:
            raise ApiError(why)
        conversation_id = request.conversation_id
        if conversation_id is not None and await self._store.find_conversation(conversation_id) is None:
            raise not_found("conversation")
        told = await self._announcer.announce(request.data, request.user_id, conversation_id)
        whom = {"user_id": request.user_id, "conversation_id": conversation_id}
        log.info("announced", devices=told, **{name: value for name, value in whom.items() if value})
        return Told(delivered_to=told)

    async def kick(self, connection_id: str) -> None:
        if not await self._kick(connection_id):
            raise not_found("connection")


def operations_router(operations: Operations, drain: Drain) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["operations"], route_class=StrictJsonRoute)

    @router.post("/system-messages", responses=write_responses(404))
    async def announce(request: Announcement) -> Told:
        """A SYSTEM announcement to a user's devices, a conversation's, or all that are connected here."""
        return await operations.announce(request)

    @router.delete("/connections/{connection_id}", status_code=204, responses=write_responses(404))
    async def kick(connection_id: str) -> None:
        """Closes a connection (1000): its client does not come back by itself."""
        await operations.kick(connection_id)

    @router.post("/drain", status_code=202, responses=write_responses())
    async def begin_drain(request: Annotated[DrainRequest | None, Body()] = None) -> Draining:
        """Empties this node gently; the process stays until it is stopped.

        No new connections, REST writes get 503, /health says draining, and each open connection gets
        SYSTEM shutdown and is closed with 1001.
        """
        return await drain.begin((request or DrainRequest()).per_second)

    @router.delete("/drain", status_code=204, responses=write_responses())
    async def undo_drain() -> None:
        """Lets the node take connections and writes again. Those that it had told to leave are gone."""
        await drain.undo()

    return router
