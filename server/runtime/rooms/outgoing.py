"""The outgoing half of a connection: what is offered to its device, in which order, within which bounds."""

import asyncio
from abc import ABC, abstractmethod

from server.core.outbox import Outbox
from server.ports import Socket
from server.protocol.closing import TOO_SLOW
from server.runtime.rooms.connection_info import ConnectionInfo
from server.runtime.rooms.flusher import Flusher


class Outgoing(ABC):
    """Queues frames and writes them once a turn of the loop. Nothing here waits but `writable`."""

    __slots__ = (
        "_flusher",
        "_held_acks",
        "_max_frames",
        "_outbox",
        "_turn",
        "_writable",
        "close_code",
        "info",
        "socket",
    )

    def __init__(self, info: ConnectionInfo, socket: Socket, flusher: Flusher, max_frames: int) -> None:
        self.info = info
        self.socket = socket
        self.close_code: int | None = None  # set once it is closing or closed
        self._flusher = flusher
        self._max_frames = max_frames
        self._turn: list[bytes] = []  # offered since the last flush
        self._outbox: Outbox | None = None  # of a device that does not read
        self._held_acks: list[tuple[int, bytes]] | None = None  # seq and frame, while it is replayed to
        self._writable: asyncio.Future[None] | None = None

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """End the connection."""

    @abstractmethod
    def begin_answer(self) -> None:
        """Count an answer that is owed to the device."""

    @abstractmethod
    def end_answer(self) -> None:
        """Count an answer as given."""

    def offer(self, frame: bytes) -> None:
        """Queue a frame; it is written before the loop's next turn.

        Of a device that does not read, Signals are dropped first; then it is closed (4002).
        """
        if self.close_code is None:
            if not self._turn:
                self._flusher.mark(self)
            self._turn.append(frame)

    def offer_ack(self, seq: int, frame: bytes) -> None:
        """Queue the answer to a message of this connection; it comes behind the message's own broadcast."""
        if self._held_acks is None:
            self.offer(frame)
            self._flusher.hasten(self)
        else:
            self._held_acks.append((seq, frame))
            self.begin_answer()  # it is still owed, so that a device which only sends is slowed down

    def begin_replay(self) -> None:
        """Hold ACKs back until `end_replay`: of messages that the device is not sent yet."""
        if self._held_acks is None:
            self._held_acks = []

    def write_replay(self, frames: list[bytes]) -> None:
        """Write frames past the outbox's bounds; await `writable` between two pages."""
        self.flush()
        if self.close_code is None:
            self.info.sent += len(frames)
            self.socket.write(b"".join(frames))

    def release_acks(self, position: int) -> None:
        """Queue the ACKs of messages up to that seq, which the device has been sent."""
        held, self._held_acks = self._held_acks or [], []
        for seq, frame in held:
            if seq <= position:
                self.end_answer()
                self.offer(frame)
            else:
                self._held_acks.append((seq, frame))

    def end_replay(self) -> None:
        """Let ACKs go straight out again, unless there are some whose messages are yet to come."""
        if not self._held_acks:
            self._held_acks = None

    async def writable(self) -> None:
        """Wait until the device has read most of what was written, or is gone."""
        if self.close_code is None and not self.socket.is_writable:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def flush(self) -> None:
        """Write what this turn of the loop brought; a device that does not read keeps it in its outbox."""
        if not (frames := self._turn):
            return
        self._turn = []
        self.info.sent += len(frames)
        if self._outbox is None and self.socket.is_writable:
            self.socket.write(frames[0] if len(frames) == 1 else b"".join(frames))
        elif self.close_code is None:
            self._hold(frames)

    @property
    def queued(self) -> int:
        """Frames that wait for the device to read."""
        return len(self._outbox) if self._outbox else 0

    def _write_waiting(self) -> None:
        """Write what waited in the outbox, now that the device reads again."""
        if self._outbox is not None:
            waiting, self._outbox = self._outbox.take(), None
            self.socket.write(waiting)
        self._wake()

    def _write_last(self, is_owed_acks: bool) -> None:
        """A shutdown answers everything; else an ACK that would come before its own broadcast is lost."""
        waiting = self._outbox.take() if self._outbox else b""
        last = self._turn + [frame for _, frame in (self._held_acks or ()) if is_owed_acks]
        self.info.sent += len(last)
        self.socket.write(waiting + b"".join(last))

    def _drop_all(self) -> None:
        """Forget what was not written: the connection is over."""
        self._turn = []
        self._outbox = self._held_acks = None
        self._wake()

    def _hold(self, frames: list[bytes]) -> None:
        if self._outbox is None:
            self._outbox = Outbox()
        if not self._outbox.add(frames, self._max_frames):
            self.close(*TOO_SLOW)

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    @abstractmethod
    def fail(self) -> None:
        """End the connection while an exception of its own is being handled."""
