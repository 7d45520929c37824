"""One device's live connection: what is offered to it, and what it says."""

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from server.core.model import Outcome
from server.core.outbox import Outbox
from server.ports import Socket
from server.protocol import CloseCode

if TYPE_CHECKING:
    from server.runtime.delivery import Save
    from server.runtime.room import Room

log = structlog.get_logger()

# Messages of one connection that may wait for their answer; beyond, it is read no further and TCP
# slows the sender. Twice what one commit takes at full load.
MAX_UNANSWERED: Final = 256
# What a connection said before it was closed with one of these is still processed.
_READS_ON: Final = frozenset({CloseCode.REPLACED, CloseCode.GOING_AWAY})
_FAULT: Final = "a fault of the server"
_ABNORMAL: Final = 1006
_BROKE: Final = "the connection broke"
_LEFT: Final = "the client closed it"
# Writes between which nobody else has a turn: a system call each, so a few milliseconds in all.
_WRITES_PER_TURN: Final = 500


class Listener(Protocol):
    """Who hears what devices say."""

    def receive(self, connection: "Connection", payload: bytes | None) -> None:
        """One text frame's payload; None for a binary frame."""

    def settled(self, connection: "Connection", save: "Save", outcome: Outcome, is_resend: bool) -> None:
        """The fate of a message that the connection sent. `is_resend`: it joined an earlier save."""


class Owner(Protocol):
    """Who knows which connections there are."""

    def disconnect(self, connection: "Connection", code: int, reason: str) -> None:
        """The connection has ended, or is closing. Called once."""

    def heard_out(self, connection: "Connection") -> None:
        """Nothing more will be heard of a connection that ended while what it had said was still to come."""


@dataclass(slots=True)
class ConnectionInfo:
    """Who a connection is. Times are monotonic seconds but for `connected_at`, ms since the epoch."""

    connection_id: str
    user_id: str
    conversation_id: str
    client_id: str
    session_id: str
    ip: str
    connected_at: int
    opened: float
    last_heartbeat: float
    last_ping: float
    reconnects: int = 0
    expires: float = math.inf  # of its token, in seconds since the epoch
    sent: int = 0
    received: int = 0

    def context(self) -> dict[str, str]:
        """What events, errors and logs say of a connection."""
        return {
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "client_id": self.client_id,
            "session_id": self.session_id,
            "connection_id": self.connection_id,
        }


class Flusher:
    """Writes what was offered during one turn of the event loop: one write per device.

    Owned by the ConnectionManager. While devices are marked, a flush is scheduled, or owed by who holds it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._marked: list[Connection] = []
        self._answered: list[Connection] = []  # some of them
        self._is_held = False

    def hold(self) -> None:
        """Nothing is scheduled, since the caller will `flush` in this turn: that spares the loop a turn."""
        self._is_held = True

    def mark(self, connection: "Connection") -> None:
        """The connection was offered its first frame of this turn."""
        if not self._marked and not self._is_held:
            self._loop.call_soon(self.flush)
        self._marked.append(connection)

    def hasten(self, connection: "Connection") -> None:
        """The connection waits for what it was offered: it is written to before the others."""
        self._answered.append(connection)

    def flush(self) -> None:
        marked = self._answered + self._marked
        self._marked, self._answered, self._is_held = [], [], False
        if len(marked) > _WRITES_PER_TURN:
            marked, self._marked = marked[:_WRITES_PER_TURN], marked[_WRITES_PER_TURN:]
            self._loop.call_soon(self.flush)
        for connection in marked:
            try:
                connection.flush()
            except Exception:
                connection.fail()


class Connection:
    """Only its own socket and listener change its state; anybody may `offer` and `close`.

    Implements SocketUser and Asker. Nothing here raises or waits.
    """

    __slots__ = (
        "_flusher",
        "_held_acks",
        "_is_paused",
        "_listener",
        "_max_frames",
        "_outbox",
        "_owner",
        "_turn",
        "_writable",
        "close_code",
        "devices_told",
        "info",
        "invalid_frames",
        "is_typing",
        "room",
        "socket",
        "unanswered",
    )

    def __init__(
        self,
        info: ConnectionInfo,
        room: "Room",
        socket: Socket,
        flusher: Flusher,
        max_frames: int,
        listener: "Listener",
        owner: Owner,
    ) -> None:
        self.info = info
        self.room = room
        self.socket = socket
        self.close_code: int | None = None  # set once it is closing or closed
        self.devices_told = 0  # how many the device knows to be connected to its conversation
        self.invalid_frames = 0  # in a row
        self.is_typing = False  # the TypingRelay's to change
        self.unanswered = 0  # messages being saved
        self._held_acks: list[tuple[int, bytes]] | None = None  # seq and frame, while it is replayed to
        self._writable: asyncio.Future[None] | None = None
        self._flusher = flusher
        self._max_frames = max_frames
        self._listener = listener
        self._owner = owner
        self._turn: list[bytes] = []  # offered since the last flush
        self._outbox: Outbox | None = None  # of a device that does not read
        self._is_paused = False

    def offer(self, frame: bytes) -> None:
        """Queues a frame; it is written before the loop's next turn.

        Of a device that does not read, Signals are dropped first; then it is closed (4002).
        """
        if self.close_code is None:
            if not self._turn:
                self._flusher.mark(self)
            self._turn.append(frame)

    def offer_ack(self, seq: int, frame: bytes) -> None:
        """The answer to a message of this connection; it comes behind the message's own broadcast."""
        if self._held_acks is None:
            self.offer(frame)
            self._flusher.hasten(self)
        else:
            self._held_acks.append((seq, frame))
            self.begin_answer()  # it is still owed, so that a device which only sends is slowed down

    def begin_replay(self) -> None:
        """Broadcasts will come by `write_replay` until `release_acks` and the manager's `go_live`."""
        self._held_acks = []

    def write_replay(self, frames: list[bytes]) -> None:
        """Writes frames past the outbox's bounds; whoever calls it waits for `writable` between pages."""
        self.flush()
        if self.close_code is None:
            self.info.sent += len(frames)
            self.socket.write(b"".join(frames))

    def release_acks(self, position: int) -> None:
        """The device has been sent everything up to that seq."""
        held, self._held_acks = self._held_acks or [], []
        for seq, frame in held:
            if seq <= position:
                self.end_answer()
                self.offer(frame)
            else:
                self._held_acks.append((seq, frame))

    def end_replay(self) -> None:
        self._held_acks = None

    async def writable(self) -> None:
        """Waits until the device has read most of what was written, or is gone."""
        if self.close_code is None and not self.socket.is_writable:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def close(self, code: int, reason: str) -> None:
        """Ends the connection: it leaves its room at once, its socket when the peer has seen why."""
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
        """Ends this connection and no other, while an exception of its own is being handled."""
        log.exception("a connection failed", **self.info.context())
        if self.close_code is None:
            with contextlib.suppress(Exception):
                self._leave(CloseCode.INTERNAL_ERROR, _FAULT)
            with contextlib.suppress(Exception):
                self.socket.close(CloseCode.INTERNAL_ERROR, _FAULT)

    def flush(self) -> None:
        """Writes what this turn of the loop brought; a device that does not read keeps it in its outbox."""
        if not (frames := self._turn):
            return
        self._turn = []
        self.info.sent += len(frames)
        if self._outbox is None and self.socket.is_writable:
            self.socket.write(frames[0] if len(frames) == 1 else b"".join(frames))
        elif self.close_code is None:
            self._hold(frames)

    @property
    def is_held_up(self) -> bool:
        """Whether it is us who do not read: its silence says nothing."""
        return self._is_paused

    @property
    def is_heard_out(self) -> bool:
        """Closed, but what it had said before is still taken."""
        return self.close_code in _READS_ON

    @property
    def queued(self) -> int:
        """Frames that wait for the device to read."""
        return len(self._outbox) if self._outbox else 0

    def begin_answer(self) -> None:
        """A message of this connection is being saved."""
        self.unanswered += 1
        if self.unanswered >= MAX_UNANSWERED and not self._is_paused:
            self._is_paused = True
            self.socket.pause_reading()

    def end_answer(self) -> None:
        self.unanswered -= 1
        if self._is_paused and self.unanswered <= MAX_UNANSWERED // 2:
            self._is_paused = False
            self.socket.resume_reading()

    def settled(self, save: "Save", outcome: Outcome, delivered_to: int, is_resend: bool) -> None:
        try:
            self.end_answer()
            self._listener.settled(self, save, outcome, is_resend)
        except Exception:
            self.fail()

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
        if self._is_paused:
            self.info.last_heartbeat = time.monotonic()  # it reads: the only sign that we let it give
        try:
            if self._outbox is not None:
                waiting, self._outbox = self._outbox.take(), None
                self.socket.write(waiting)
            self._wake()
        except Exception:
            self.fail()

    def on_closed(self, code: int, reason: str = "") -> None:
        try:
            if self.close_code is None:
                self._leave(code, reason or (_BROKE if code == _ABNORMAL else _LEFT))
            elif self.is_heard_out:
                self._owner.heard_out(self)
        except Exception:
            self.fail()

    def _write_last(self, is_owed_acks: bool) -> None:
        """A shutdown answers everything; else an ACK that would come before its own broadcast is lost."""
        waiting = self._outbox.take() if self._outbox else b""
        last = self._turn + [frame for _, frame in (self._held_acks or ()) if is_owed_acks]
        self.info.sent += len(last)
        self.socket.write(waiting + b"".join(last))

    def _hold(self, frames: list[bytes]) -> None:
        if self._outbox is None:
            self._outbox = Outbox()
        if not self._outbox.add(frames, self._max_frames):
            self.close(CloseCode.SLOW_CONSUMER, "too slow: reconnect with last_seq to get what was missed")

    def _leave(self, code: int, reason: str) -> None:
        self.close_code = code
        self._turn = []
        self._outbox = self._held_acks = None
        self._owner.disconnect(self, code, reason)
        self._wake()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
