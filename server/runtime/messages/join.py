"""How a device comes in: asked for, checked, welcomed, and brought up to date."""

import time
from dataclasses import dataclass
from typing import Any, Final

import structlog

from server.core.join_request import JoinRequest, Refusal
from server.core.model import Conversation
from server.core.rate_limit import RateLimiter
from server.core.recovery import Replay, plan_replay
from server.core.websocket_frames import text_frame
from server.core.welcomes import Welcomes
from server.ports import Socket, StoreUnavailable
from server.protocol import RateLimit
from server.protocol.closing import (
    BEING_DELETED,
    DATABASE_SILENT,
    JOINS_TOO_OFTEN,
    SERVER_FAULT,
    SERVER_LEAVES,
)
from server.runtime.base.ids import IdMaker
from server.runtime.messages.entrance import Entrance
from server.runtime.messages.replay import Replayer
from server.runtime.rooms.admission import Admission
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Listener, Room
from server.runtime.rooms.sessions import Seat, Session
from server.runtime.signals.ai_status import AIStatuses

log = structlog.get_logger()

ACK_TIMEOUT: Final = 10.0  # seconds a client waits for an answer before it sends again: the welcome tells

_TOO_OFTEN: Final = Refusal(*JOINS_TOO_OFTEN, "rate_limited")


@dataclass(slots=True, frozen=True)
class JoinConfig:
    """Times in seconds; what the welcome tells a device, and what a join may do."""

    heartbeat_interval: float
    heartbeat_timeout: float
    max_text_length: int
    max_frame_bytes: int
    rate_limit: RateLimit | None
    auto_create: bool
    recovery_max_messages: int


class JoinHandler:
    """Joins devices to conversations."""

    def __init__(
        self,
        manager: ConnectionManager,
        ids: IdMaker,
        replies: Replies,
        entrance: Entrance,
        replayer: Replayer,
        listener: Listener,
        statuses: AIStatuses,
        admission: Admission,
        limiter: RateLimiter | None,
        config: JoinConfig,
    ) -> None:
        self._manager = manager
        self._ids = ids
        self._replies = replies
        self._entrance = entrance
        self._replayer = replayer
        self._listener = listener
        self._statuses = statuses
        self._admission = admission
        self._limiter = limiter
        self._config = config
        self._welcomes = Welcomes(_terms(config))
        self.is_draining = False  # set at the shutdown: from then on nobody comes in

    async def join(self, request: JoinRequest, socket: Socket) -> Connection | Refusal:
        """The device's connection, with its welcome already queued; or why it may not come in."""
        if self._limiter is not None and self._limiter.check(request.user_id, time.monotonic()) is not None:
            return _TOO_OFTEN
        room = self._manager.hold(request.conversation_id)
        try:
            return await self._come_in(request, socket, room)
        except StoreUnavailable:
            return Refusal(*DATABASE_SILENT, "store_unavailable")
        except Exception:
            log.exception(
                "a device could not join",
                user_id=request.user_id,
                conversation_id=request.conversation_id,
                client_id=request.client_id,
                session_id=request.session_id,
            )
            return Refusal(*SERVER_FAULT, "internal_error")
        finally:
            self._manager.release(room)

    async def _come_in(self, request: JoinRequest, socket: Socket, room: Room) -> Connection | Refusal:
        """Looks after each await whether the device may still come in. Raises StoreUnavailable."""
        if (refusal := self._why_not(request, room)) is not None:
            return refusal
        conversation = await self._entrance.open(room, request)
        if isinstance(conversation, Refusal):
            return conversation
        if (refusal := self._why_not(request, room)) is not None:
            return refusal
        seat = await self._entrance.take_seat(room, request)
        if isinstance(seat, Refusal):
            return seat
        if (refusal := self._why_not(request, room)) is not None:
            self._entrance.gave_up(seat)
            return refusal
        return self._let_in(request, socket, room, conversation, seat)

    def _why_not(self, request: JoinRequest, room: Room) -> Refusal | None:
        if self.is_draining:
            return Refusal(*SERVER_LEAVES, "draining")
        if room.is_deleted:
            return Refusal(*BEING_DELETED, "store_unavailable")
        return self._admission.refusal(request, room)

    def _let_in(
        self, request: JoinRequest, socket: Socket, room: Room, conversation: Conversation, seat: Seat
    ) -> Connection:
        """Without an await: nothing can be delivered between the plan and the membership."""
        now = time.monotonic()
        connection, session = self._manager.connect(socket, request, room, self._listener, now, seat)
        self._admission.enter(connection)
        self._entrance.came_in(connection)
        replay = plan_replay(
            room.last_seq,
            conversation.epoch,
            request.last_seq,
            request.epoch,
            self._config.recovery_max_messages,
        )
        self._welcome(connection, session, conversation, replay)
        if replay.after == room.last_seq:
            self._manager.go_live(connection)
        else:
            self._replayer.begin(connection, replay.after)
        return connection

    def _welcome(
        self, connection: Connection, session: Session, conversation: Conversation, replay: Replay
    ) -> None:
        info, room = connection.info, connection.room
        payload = self._welcomes.payload(
            conversation,
            self._statuses.of(room.ai_id),
            info.client_id,
            info.session_id,
            info.connection_id,
            session.resumed,
            room.last_seq,
            replay,
            room.devices,
            self._ids.new(),
            self._replies.stamp(),
        )
        connection.offer(text_frame(payload))


def _terms(config: JoinConfig) -> dict[str, Any]:
    """Return what a welcome says to every device, in the order of its fields."""
    return {
        "heartbeat_interval": config.heartbeat_interval,
        "heartbeat_timeout": config.heartbeat_timeout,
        "ack_timeout": ACK_TIMEOUT,
        "max_text_length": config.max_text_length,
        "max_frame_bytes": config.max_frame_bytes,
        "rate_limit": config.rate_limit,
    }
