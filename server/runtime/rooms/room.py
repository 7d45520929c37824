"""A room, the connections in it and the messages on their way into it.

The three know each other, so they stand in one module.
"""

import contextlib
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from server.core.model import Conversation, Draft, Outcome
from server.ports import Socket
from server.protocol import ABNORMAL_CLOSURE, CloseCode
from server.protocol.closing import SERVER_FAULT
from server.runtime.rooms.connection_info import ConnectionInfo
from server.runtime.rooms.flusher import Flusher
from server.runtime.rooms.outgoing import Outgoing
from server.runtime.rooms.replies import Replies

log = structlog.get_logger()

# Messages of one connection that may wait for their answer; beyond, it is read no further and TCP
# slows the sender. Twice what one commit takes at full load.
MAX_UNANSWERED: Final = 256
# What a connection said before it was closed with one of these is still processed.
_READS_ON: Final = frozenset({CloseCode.REPLACED, CloseCode.GOING_AWAY})
_BROKE: Final = "the connection broke"
_LEFT: Final = "the client closed it"


class Waiter(Protocol):
    """Whoever waits for a message to be saved: a connection, or a REST request."""

    def settled(
        self, message: "PendingMessage", outcome: Outcome, delivered_to: int, is_resend: bool
    ) -> None:
        """Take the message's one answer.

        `delivered_to`: devices that it was queued to. `is_resend`: another frame had begun the save.
        """


@dataclass(slots=True, eq=False)
class PendingMessage(Draft):
    """A message from its validation to its answers. A resend that comes meanwhile joins the waiters."""

    room: "Room" = field(kw_only=True)
    waiters: list[tuple[Waiter, float]] = field(kw_only=True)  # and when each asked, monotonic seconds


class Room:
    """A conversation as this process sees it while somebody is connected to it, joins it or writes to it.

    Its membership is the ConnectionManager's to change, `saving` the Delivery's.
    """

    __slots__ = (
        "connections",
        "conversation",
        "conversation_id",
        "elsewhere",
        "holders",
        "is_deleted",
        "last_activity",
        "last_seq",
        "live",
        "saving",
        "watching",
    )

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.conversation: Conversation | None = None  # once the store was asked
        self.holders = 0  # who needs the room though nobody is connected
        self.is_deleted = False  # or being deleted: whoever still holds the room must not go on
        self.last_seq = 0  # the newest that was delivered here
        self.last_activity = 0  # when the last message was stamped, milliseconds since the epoch
        # Tuples, replaced at each change, so that a loop over one may close a connection in it.
        self.connections: tuple[Connection, ...] = ()
        self.live: tuple[Connection, ...] = ()  # those that have caught up: broadcasts go to them
        # Those that were live once, for the pieces of answers: who catches up anew has got all before.
        self.watching: tuple[Connection, ...] = ()
        self.elsewhere = 0  # devices on other nodes, as far as is known
        self.saving: dict[str, PendingMessage] | None = None  # by message_id, until the store settled it

    @property
    def key(self) -> int:
        """The store's name for the conversation."""
        assert self.conversation is not None
        return self.conversation.key

    @property
    def epoch(self) -> str:
        """The name of the conversation's log."""
        assert self.conversation is not None
        return self.conversation.epoch

    @property
    def ai_id(self) -> str:
        """The id of the conversation's AI."""
        assert self.conversation is not None
        ai_id: str = self.conversation.ai["id"]
        return ai_id

    @property
    def devices(self) -> int:
        """Return how many devices are connected to the conversation, on all nodes."""
        return len(self.connections) + self.elsewhere

    @property
    def is_unused(self) -> bool:
        return not (self.connections or self.holders or self.saving)

    def opened(self, conversation: Conversation) -> None:
        """Take what the store says of the conversation; what was delivered since it was asked is newer."""
        if self.conversation is None:
            self.conversation = conversation
            self.advance(conversation.last_seq)

    def advance(self, seq: int) -> int:
        """Note the newest seq, and return the one that was the newest before."""
        before = self.last_seq
        if seq > before:
            self.last_seq = seq
        return before


class Listener(Protocol):
    """Who hears what devices say."""

    def receive(self, connection: "Connection", payload: bytes | None) -> None:
        """Take one text frame's payload; None for a binary frame."""

    def was_duplicate(self, message: PendingMessage) -> None:
        """Learn that a message of a connection had been saved before."""


class Owner(Protocol):
    """Who knows which connections there are."""

    def disconnect(self, connection: "Connection", code: int, reason: str) -> None:
        """Remove a connection that has ended, or is closing. Called once."""

    def heard_out(self, connection: "Connection") -> None:
        """Let go of a closed connection of which nothing more will be heard."""


class Connection(Outgoing):
    """One device's live connection. Only its own socket changes its state; anybody may `offer` and `close`.

    Implements SocketUser and Waiter. Nothing here raises or waits.
    """

    __slots__ = (
        "_is_paused",
        "_listener",
        "_owner",
        "_replies",
        "devices_told",
        "invalid_frames",
        "is_typing",
        "room",
        "unanswered",
    )

    def __init__(
        self,
        info: ConnectionInfo,
        room: Room,
        socket: Socket,
        flusher: Flusher,
        max_frames: int,
        replies: Replies,
        listener: Listener,
        owner: Owner,
    ) -> None:
        super().__init__(info, socket, flusher, max_frames)
        self.room = room
        self.devices_told = 0  # how many the device knows to be connected to its conversation
        self.invalid_frames = 0  # in a row
        self.is_typing = False  # the TypingRelay's to change
        self.unanswered = 0  # messages being saved
        self._replies = replies
        self._listener = listener
        self._owner = owner
        self._is_paused = False

    # ---- its answers --------------------------------------------------------------------------------

    def begin_answer(self) -> None:
        """Count a message of this connection that is being saved."""
        self.unanswered += 1
        if self.unanswered >= MAX_UNANSWERED and not self._is_paused:
            self._is_paused = True
            self.socket.pause_reading()

    def end_answer(self) -> None:
        self.unanswered -= 1
        if self._is_paused and self.unanswered <= MAX_UNANSWERED // 2:
            self._is_paused = False
            self.socket.resume_reading()

    def settled(self, message: PendingMessage, outcome: Outcome, delivered_to: int, is_resend: bool) -> None:
        """Answer a message of this connection."""
        try:
            self.end_answer()
            if outcome.is_new:
                self._replies.ack(self, message.message_id, outcome.seq, is_resend)
            elif outcome.refusal is not None:
                self._replies.nack(self, message.message_id, outcome.refusal)
            else:
                if not is_resend:
                    self._listener.was_duplicate(message)
                self._replies.ack(self, message.message_id, outcome.seq, True)
        except Exception:
            self.fail()

    @property
    def is_held_up(self) -> bool:
        """Whether it is us who do not read: its silence says nothing."""
        return self._is_paused

    # ---- its end ------------------------------------------------------------------------------------

    @property
    def is_heard_out(self) -> bool:
        """Closed, but what it had said before is still taken."""
        return self.close_code in _READS_ON

    def close(self, code: int, reason: str) -> None:
        """End the connection: it leaves its room at once, its socket when the peer has seen why."""
        if self.close_code is not None:
            return
        try:
            if code != CloseCode.SLOW_CONSUMER:
                self._write_last(code == CloseCode.GOING_AWAY)
            self._leave(code, reason)
            self.socket.close(code, reason)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """End this connection and no other, while an exception of its own is being handled."""
        log.exception("a connection failed", **self.info.context())
        if self.close_code is None:
            with contextlib.suppress(Exception):
                self._leave(*SERVER_FAULT)
            with contextlib.suppress(Exception):
                self.socket.close(*SERVER_FAULT)

    def _leave(self, code: int, reason: str) -> None:
        self.close_code = code
        self._owner.disconnect(self, code, reason)
        self._drop_all()

    # ---- its socket ---------------------------------------------------------------------------------

    def on_text(self, payload: bytes | None) -> None:
        if self.close_code is None or self.is_heard_out:
            try:
                self._listener.receive(self, payload)
            except Exception:
                self.fail()

    def on_binary(self, payload: bytes) -> None:
        if self.close_code is None:
            self.on_text(None)

    def on_writable(self) -> None:
        self.info.last_writable = time.monotonic()
        if self._is_paused:
            self.info.last_heartbeat = time.monotonic()  # it reads: the only sign that we let it give
        try:
            self._write_waiting()
        except Exception:
            self.fail()

    def on_closed(self, code: int, reason: str = "") -> None:
        try:
            if self.close_code is None:
                self._leave(code, reason or (_BROKE if code == ABNORMAL_CLOSURE else _LEFT))
            elif self.is_heard_out:
                self._owner.heard_out(self)
        except Exception:
            self.fail()
