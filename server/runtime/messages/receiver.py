"""What happens to a frame that a device sent."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from server.core.inbound import BINARY_FRAME, Rejection, check_text, fault_of_data, read_frame, reject
from server.core.model import (
    FRAME_FAILED,
    MESSAGE_ID_CONFLICT,
    SHUTTING_DOWN,
    Outcome,
    Refused,
)
from server.core.rate_limit import RateLimiter
from server.core.signal_data import fault_of_ping
from server.core.timestamps import accepted_client_stamp
from server.protocol import ClientFrame, ErrorCode, MessageType
from server.protocol.closing import invalid_frames
from server.runtime.base.background import Background
from server.runtime.base.clock import now_ms
from server.runtime.base.tokens import EXPIRED
from server.runtime.messages.delivery import Delivery
from server.runtime.rooms.connection_info import ConnectionInfo
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, PendingMessage
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()

# What a device may still say in the moment between its token's end and the close.
_NEEDS_NO_TOKEN: Final = frozenset({MessageType.AUTH_REFRESH, MessageType.PING, MessageType.PONG})


@dataclass(slots=True, frozen=True)
class FrameLimits:
    """What a device's frames are held to: characters of a text, and invalid frames in a row."""

    max_text_length: int = 4000
    max_invalid_frames: int = 10


_Handler = Callable[[Connection, ClientFrame], Refused | None]


class Receiver:
    """Validates, decides, and answers or submits. Called by a connection's own reader; never waits."""

    def __init__(
        self,
        replies: Replies,
        delivery: Delivery,
        typing: TypingRelay,
        signals: SignalHandlers,
        background: Background,
        limiter: RateLimiter | None,
        signal_limiter: RateLimiter | None,
        limits: FrameLimits,
    ) -> None:
        self._replies = replies
        self._delivery = delivery
        self._submit: Callable[[PendingMessage], None] = delivery.submit
        self._typing = typing
        self._background = background
        self._limiter = limiter
        self._signal_limiter = signal_limiter
        self._limits = limits
        self.is_draining = False  # set at the shutdown: from then on new messages are refused
        self._is_traced = log.is_enabled_for(logging.DEBUG)
        self._handlers: dict[str, _Handler] = {
            MessageType.PING: self._ping,
            MessageType.PONG: self._pong,
            MessageType.TYPING_INDICATOR: signals.typing,
            MessageType.READ_RECEIPT: signals.read_receipt,
            MessageType.CANCEL_RESPONSE: signals.cancel_response,
            MessageType.AUTH_REFRESH: signals.auth_refresh,
        }

    def receive(self, connection: Connection, payload: bytes | None) -> None:
        """One text frame's payload; None for a binary frame."""
        info = connection.info
        info.received += 1
        now = info.last_heartbeat = time.monotonic()
        if payload is None:
            frame: ClientFrame | Rejection = BINARY_FRAME
        else:
            frame = read_frame(payload, info.conversation_id, self._limits.max_text_length)
        if type(frame) is Rejection:
            self._reject(connection, frame)
            return
        assert type(frame) is ClientFrame
        if self._is_traced:
            log.debug("received", type=frame.type, message_id=frame.message_id, **info.context())
        try:
            if info.expires < math.inf and _is_late(info, frame):
                why = fault_of_data(frame, self._limits.max_text_length) or EXPIRED
                self._reject(connection, reject(frame.message_id, why))
            elif frame.type == MessageType.CHAT_MESSAGE:
                connection.invalid_frames = 0
                self._chat(connection, frame, now)
            else:
                self._signal(connection, frame)
        except Exception:
            self._fail(connection, frame.message_id)

    def was_duplicate(self, message: PendingMessage) -> None:
        """Give back what the message cost of its sender's rate: it had been saved before."""
        if self._limiter is not None:
            self._limiter.refund(message.sender, message.arrived)

    # ---- messages -----------------------------------------------------------------------------------

    def _chat(self, connection: Connection, frame: ClientFrame, now: float) -> None:
        message_id = frame.message_id
        assert message_id is not None
        if (why := check_text(frame.data, self._limits.max_text_length)) is not None:
            self._replies.nack(connection, message_id, why)
            return
        if connection.is_typing:
            self._typing.stop(connection)
        saving = connection.room.saving
        if saving is not None and (save := saving.get(message_id)) is not None:
            self._join(save, connection, frame.data, now)
            return
        save = self._draft(connection, message_id, frame, now)
        connection.begin_answer()
        if (why := self._why_not_now(connection, now)) is not None:
            self._background.run(self._judge_resend(connection, save, why), "judge-resend")
        else:
            self._submit(save)

    def _draft(
        self, connection: Connection, message_id: str, frame: ClientFrame, now: float
    ) -> PendingMessage:
        created_at = now_ms()
        stamp = frame.timestamp
        room = connection.room
        return PendingMessage(
            room.key,
            message_id,
            MessageType.CHAT_MESSAGE,
            connection.info.user_id,
            frame.data,
            created_at,
            now,
            None if stamp is None else accepted_client_stamp(stamp, created_at),
            room=room,
            waiters=[(connection, now)],
        )

    def _join(self, save: PendingMessage, connection: Connection, text: str, now: float) -> None:
        """The same message_id is being saved just now: the same message again, or another under its name."""
        if (save.type, save.sender, save.data) != (MessageType.CHAT_MESSAGE, connection.info.user_id, text):
            self._replies.nack(connection, save.message_id, MESSAGE_ID_CONFLICT)
            return
        connection.begin_answer()
        save.waiters.append((connection, now))

    def _why_not_now(self, connection: Connection, now: float) -> Refused | None:
        if self.is_draining:
            return SHUTTING_DOWN
        if self._limiter is None or (wait := self._limiter.check(connection.info.user_id, now)) is None:
            return None
        return rate_limited("Too many messages; wait a moment", wait)

    async def _judge_resend(self, connection: Connection, save: PendingMessage, why: Refused) -> None:
        """No new message is taken now; one that had been saved before is answered as such all the same."""
        try:
            outcome = await self._delivery.outcome_before(save, why)
        except Exception:
            log.exception("a resend could not be judged", **connection.info.context())
            outcome = Outcome.refused(FRAME_FAILED)
        connection.settled(save, outcome, 0, is_resend=True)

    # ---- signals ------------------------------------------------------------------------------------

    def _signal(self, connection: Connection, frame: ClientFrame) -> None:
        why = self._why_not_this_signal(connection, frame)
        if why is None:
            why = self._handlers[frame.type](connection, frame)
        elif frame.message_id is None:
            return  # over the rate: dropped
        if why is None:
            connection.invalid_frames = 0
        else:
            self._reject(connection, reject(frame.message_id, why))

    def _why_not_this_signal(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        """A PONG is never too many: it was asked for."""
        limiter = self._signal_limiter
        if limiter is None or frame.type == MessageType.PONG:
            return None
        wait = limiter.check(connection.info.user_id, time.monotonic())
        return None if wait is None else rate_limited("Too many signals; wait a moment", wait)

    def _ping(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        if (why := fault_of_ping(frame.data)) is not None:
            return why
        self._replies.pong(connection, frame.message_id, frame.data)
        return None

    def _pong(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        """A sign of life, as every frame is."""
        return None

    # ---- faults -------------------------------------------------------------------------------------

    def _reject(self, connection: Connection, rejection: Rejection) -> None:
        if rejection.message_id is not None:
            connection.invalid_frames = 0
            self._replies.nack(connection, rejection.message_id, rejection.why)
            return
        self._replies.error(connection, rejection.why)
        connection.invalid_frames += 1
        if connection.invalid_frames >= self._limits.max_invalid_frames:
            connection.close(*invalid_frames(connection.invalid_frames))

    def _fail(self, connection: Connection, message_id: str | None) -> None:
        """A fault of ours ends nothing but this frame."""
        log.exception("a frame could not be processed", **connection.info.context())
        if message_id is None:
            self._replies.error(connection, FRAME_FAILED)
        else:
            self._replies.nack(connection, message_id, FRAME_FAILED)


def _is_late(info: ConnectionInfo, frame: ClientFrame) -> bool:
    """Whether the token ran out before the frame came."""
    return time.time() >= info.expires and frame.type not in _NEEDS_NO_TOKEN


def rate_limited(text: str, wait: float) -> Refused:
    """Make the refusal; its time is rounded up, so that whoever waits as told is not a moment too early."""
    return Refused(ErrorCode.RATE_LIMITED, text, math.ceil(wait * 1000) / 1000)
