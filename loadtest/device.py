"""A device under gevent: the Python client's session on a WebSocket, watched by the ledger."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Final

import gevent
from gevent import Greenlet
from gevent.event import Event as Signal

from chatctl.client.events import (
    Chunk,
    Delivered,
    Ended,
    Event,
    Failed,
    Message,
    Misplaced,
    Notice,
    Reconnecting,
    Stale,
    Unreadable,
    Welcomed,
)
from chatctl.client.outgoing import CONNECTION_LOST, TIMEOUT, Outgoing
from chatctl.client.session import Session
from loadtest.ledger import Ledger
from loadtest.pieces import Pieces
from loadtest.recorder import Recorder
from loadtest.rest import Frame, Rest, RestError
from loadtest.wire import Disconnected, Wire
from server.protocol import ABNORMAL_CLOSURE, ErrorCode, Gap, MessageType, RateLimit

_OLD_ENDS_WITHIN: Final = 10.0  # seconds: while nodes cannot reach each other it is best effort

clock: Final = time.perf_counter
"""The one clock of all times in a generator process, in seconds."""


class _Moved(Disconnected):
    """The device goes on with another connection."""


class Device:
    """Connects, and reconnects as its session says, until it is closed.

    Attributes:
        welcomed: Set while the connection is open.
        answered: Set once the server has let it in, or refused it for good.

    `acked` is told of each first ACK: the ledger, the message_id and the seq. `origins`: where each of its
    connections is made to.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        ledger: Ledger,
        recorder: Recorder,
        rest: Rest,
        origins: Iterator[str],
        acked: Callable[[Ledger, str, int], None],
        pieces: Pieces,
    ) -> None:
        self.session = session
        self.name = name
        self.welcomed = Signal()
        self.answered = Signal()
        self._ledger = ledger
        self._recorder = recorder
        self._rest = rest
        self._origins = origins
        self._acked = acked
        self._pieces = pieces
        self._wire: Wire | None = None
        self._welcomed_before = False
        self._left_at = clock()
        self._ending = False  # the test itself ends the connection
        self._is_receiving = False
        self._greenlet = gevent.spawn(self._live)

    # What a scenario does with it

    @property
    def limit(self) -> RateLimit | None:
        """What the welcome told of the user's rate limit."""
        return self.session.welcome.rate_limit if self.session.welcome else None

    @property
    def is_settled(self) -> bool:
        """Connected, or not going to be."""
        return bool(self.welcomed.is_set() or self.is_over)

    @property
    def is_over(self) -> bool:
        """Whether its session is at its end: nothing will be answered any more."""
        return bool(self._greenlet.ready())

    def say(self, message_id: str, text: str, due: float) -> Outgoing:
        """Sends a CHAT_MESSAGE; while there is no connection it waits for the next one."""
        now = clock()
        self._ledger.note_sent(self.name, message_id, text, due, now)
        self._recorder.sent(due, now)
        message = self.session.send(message_id, text, now)
        self._flush()
        return message

    def stop(self, answer_id: str) -> None:
        """Asks the server to stop an answer that is being written."""
        now = clock()
        self._pieces.cancelled(answer_id, now)
        self.session.cancel_response(f"stop-{answer_id}", answer_id, now)
        self._flush()

    def cut(self) -> None:
        """Breaks the connection without a good-bye, as a phone does that loses its network: by FIN or RST."""
        if self._wire is not None and self.welcomed.is_set():
            self._ending = True
            self._leave()
            random.choice((self._wire.cut, self._wire.reset))()

    def move(self, complain: Callable[[str], None]) -> Greenlet | None:
        """Makes a new connection and leaves the old one to itself, as a phone does that changes its network.

        Returns the greenlet that watches until the server has ended the old one, and complains where that
        took too long; None where there is no connection now.
        """
        watch = None
        if self._is_receiving and self._wire is not None and self.welcomed.is_set():
            self._ending = True
            self._leave()
            watch = gevent.spawn(self._outlive, self._wire, complain)
            self._wire = None
            self._greenlet.kill(_Moved(ABNORMAL_CLOSURE, "moved"), block=False)
        return watch

    def _outlive(self, old: Wire, complain: Callable[[str], None]) -> None:
        """Reads what the old connection is still sent, until the server has ended it."""
        reading = gevent.spawn(old.drain)
        self.welcomed.wait(_OLD_ENDS_WITHIN)
        reading.join(_OLD_ENDS_WITHIN)
        if not reading.ready():
            complain(f"{self.session.client_id}: after {_OLD_ENDS_WITHIN:g} s it has two")
        reading.kill()
        old.release()

    def close(self) -> None:
        """Ends the session for good."""
        self._greenlet.kill()

    def tick(self, now: float) -> None:
        """To be called about once a second: time-outs and resends."""
        deadline = self.session.deadline()
        if deadline is not None and deadline <= now:
            self._take(self.session.tick(now), now)
            self._flush()

    # The connection

    def _live(self) -> None:
        while True:
            end = self._connection()
            now = clock()
            self._leave()
            if not self._ending:
                self._recorder.disconnected(end.code, end.reason, now)
            self._ending = False
            events = self.session.disconnected(end.code, end.reason, random.random())
            self._take(events, now)
            if not isinstance(events[-1], Reconnecting):
                return
            with suppress(_Moved):  # it was on its way while the connection ended by itself
                gevent.sleep(events[-1].delay)

    def _leave(self) -> None:
        if self.welcomed.is_set():
            self._left_at = clock()
            self.welcomed.clear()

    def _connection(self) -> Disconnected:
        """Opens a connection and serves it to its end. Returns how it ended."""
        url = self.session.start_connection(next(self._origins), clock())
        try:
            wire = self._wire = Wire(url, self.session.headers())
        except Disconnected as end:
            return end
        try:
            while True:
                for payload in self._received(wire):
                    now = clock()
                    self._take(self.session.receive(payload, now), now)
                self._flush()
        except Disconnected as end:
            return end
        except gevent.GreenletExit:
            wire.close()
            raise
        finally:
            if self._wire is wire:
                self._wire = None
                wire.release()

    def _received(self, wire: Wire) -> list[bytes]:
        self._is_receiving = True
        try:
            return wire.receive()
        finally:
            self._is_receiving = False

    def _flush(self) -> None:
        # What is sent to no connection, or one that is ending, is sent again after the reconnect.
        for frame in self.session.frames_to_send():
            if self._wire is not None:
                self._wire.send(frame)

    # What the session reports

    def _take(self, events: list[Event], now: float) -> None:
        for event in events:
            handle = self._HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event, now)

    def _on_message(self, event: Message, now: float) -> None:
        # Without a fault, what is not new is the rightful start of a replay below a hole.
        if event.new or event.fault is not None:
            self._see(event.frame, now)
            self._hear_out(event.frame, now)

    def _hear_out(self, frame: Frame, now: float) -> None:
        text, finish = frame.get("data"), frame.get("finish")
        after = self._pieces.ended(self.name, frame["message_id"], text, finish, now)
        if after is not None:
            self._recorder.silenced(after, now)

    def _on_chunk(self, event: Chunk, now: float) -> None:
        if event.aborted:
            self._pieces.aborted(self.name, event.message_id)
            return
        for due in self._pieces.saw(self.name, event.message_id, event.so_far):
            self._recorder.piece_shown(due, now)

    def _on_misplaced(self, event: Misplaced, now: float) -> None:
        self._pieces.misplaced(self.name, event.message_id)

    def _see(self, frame: Frame, now: float, recovered: bool = False) -> None:
        message_id, seq = frame["message_id"], frame["seq"]
        self._recorder.sign_of_life(now)
        is_ais = frame.get("type") == MessageType.AI_RESPONSE
        due = self._ledger.note_seen(
            self.name, message_id, seq, frame.get("data"), now, recovered=recovered, is_ais=is_ais
        )
        if due is not None:
            self._recorder.delivered(self._pieces.due_of_end(message_id) or due, now)

    def _on_delivered(self, event: Delivered, now: float) -> None:
        if event.ack is None:
            return  # the broadcast told it, and the ledger has that
        message = event.message
        if message.type is MessageType.CANCEL_RESPONSE:
            self._pieces.settled(message.message_id.removeprefix("stop-"), "stopped")
            return
        due = self._ledger.note_ack(
            message.message_id, event.seq, now, frames=message.transmissions, duplicate=event.duplicate
        )
        if due is not None and event.seq is not None:
            self._recorder.acked(due, now)
            self._acked(self._ledger, message.message_id, event.seq)

    def _on_failed(self, event: Failed, now: float) -> None:
        message, failure = event.message, event.message.failure
        if failure is None or failure.code in (TIMEOUT, CONNECTION_LOST):
            self._recorder.error("no answer in time", now)
            return
        if message.type is MessageType.CANCEL_RESPONSE:
            self._pieces.settled(message.message_id.removeprefix("stop-"), "too late")
            return
        due = self._ledger.note_nack(message.message_id, failure.code, now, frames=message.transmissions)
        if due is not None:
            self._recorder.nacked(due, failure.code, now)
        if failure.code == ErrorCode.OUTCOME_UNKNOWN:
            self._ledger.note_retry(message.message_id, now)
            self.session.retry(message, message.message_id, now)

    def _on_welcome(self, event: Welcomed, now: float) -> None:
        self._ledger.note_joined(self.name, event.welcome.last_seq)
        self._pieces.joined(self.name)
        if self._welcomed_before:
            self._recorder.reconnected(event.welcome.resumed, self._left_at, now)
        self._welcomed_before = True
        if event.welcome.gap is not None:
            gevent.spawn(self._read_missed, event.welcome.gap)
        self.welcomed.set()
        self.answered.set()

    def _read_missed(self, gap: Gap) -> None:
        """Reads what the welcome said that would not be replayed; any other hole is a fault, and stays."""
        after = gap.first - 1
        try:
            while after < gap.last and (
                frames := self._rest.page(self.session.conversation_id, after, gap.last - after)
            ):
                for event in self.session.history(frames):
                    if isinstance(event, Message):
                        self._see(event.frame, clock(), recovered=True)
                after = frames[-1]["seq"]
        except RestError as error:
            self._recorder.error(str(error), clock())

    def _on_notice(self, event: Notice, now: float) -> None:
        """Answers that nothing waits for, and ERRORs: a faultless server sends neither."""
        frame = event.frame
        if event.type == MessageType.ACK:
            self._ledger.note_ack(frame["message_id"], frame.get("seq"), now)
        elif event.type == MessageType.NACK:
            self._ledger.note_nack(frame["message_id"], frame["error"]["code"], now)
        elif event.type == MessageType.ERROR:
            self._recorder.error(f"ERROR {frame['error']['code']}", now)

    def _on_unreadable(self, event: Unreadable, now: float) -> None:
        self._recorder.error(f"unreadable frame: {event.reason}", now)

    def _on_stale(self, event: Stale, now: float) -> None:
        self._recorder.error(event.reason, now)
        if self._wire is not None:
            self._ending = True
            self._wire.cut()

    def _on_ended(self, event: Ended, now: float) -> None:
        self._recorder.error(f"not let in again: {event.code} {event.reason}", now)
        self.answered.set()

    _HANDLERS: ClassVar[dict[type, Callable[["Device", Any, float], None]]] = {
        Message: _on_message,
        Chunk: _on_chunk,
        Misplaced: _on_misplaced,
        Delivered: _on_delivered,
        Failed: _on_failed,
        Welcomed: _on_welcome,
        Notice: _on_notice,
        Unreadable: _on_unreadable,
        Stale: _on_stale,
        Ended: _on_ended,
    }
