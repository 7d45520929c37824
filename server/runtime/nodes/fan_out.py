"""The way to the devices of a room on all nodes."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from server.core import payloads
from server.core.envelope import Envelope, Kind, facts_head, read_saved_head, saved_head
from server.core.outbox import Signal
from server.core.reordering import Early
from server.core.websocket_frames import text_frame
from server.protocol import SERVER_SENDER, MessageType
from server.runtime.base.ids import IdMaker
from server.runtime.base.timers import Timers
from server.runtime.nodes.switchboard import Switchboard, conversation_channel, conversation_of
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room

# For a message that is on its way from another node, or whose commit here is about to be told: that takes a
# few milliseconds, more under load, which reading the store would add to.
_PATIENCE: Final = 0.1  # seconds

MessageHeard = Callable[[Room, int, str, str], None]
SignalHeard = Callable[[Room, dict[str, Any]], None]


class NodeFanOut(FanOut):
    """Saved messages of all nodes in seq order, whoever brings them first; signals to all nodes.

    Of a message that comes before those it follows, ACKs wait until the devices have got it.
    """

    is_heard_elsewhere = True

    def __init__(
        self,
        replies: Replies,
        ids: IdMaker,
        catch_up: Callable[[Room, int], None],
        manager: ConnectionManager,
        switchboard: Switchboard,
    ) -> None:
        super().__init__(replies, ids, catch_up)
        self._manager = manager
        self._switchboard = switchboard
        self._early: dict[Room, Early] = {}  # rooms in which something is waited for
        self._holes: Timers[Room] = Timers(self._give_up)
        self._unsent: dict[str, tuple[int, str]] = {}  # newest seq and epoch, by conversation
        self._on_signal: list[SignalHeard] = []
        self._on_heard: list[MessageHeard] = []
        self._on_said: list[MessageHeard] = []
        self._on_answer: Callable[[Room], None] = lambda room: None
        self._on_doubt: Callable[[Room], None] = lambda room: None
        manager.when_live(self._joined)
        switchboard.on(Kind.MESSAGE, self._heard_message)
        switchboard.on(Kind.SIGNAL, self._heard_signal)

    def when_signalled(self, tell: SignalHeard) -> None:
        """From now on `tell` is called with each signal of another node: its room, type, key and data."""
        self._on_signal.append(tell)

    def when_said(self, tell: MessageHeard) -> None:
        """From now on `tell` is called before an AI_RESPONSE that was saved here is delivered, likewise."""
        self._on_said.append(tell)

    def when_heard(self, tell: MessageHeard) -> None:
        """From now on `tell` is called before a message that another node saved is delivered.

        With its room, seq, type and message_id.
        """
        self._on_heard.append(tell)

    def when_answered(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called before an AI_RESPONSE that another node saved is delivered."""
        self._on_answer = tell

    def when_in_doubt(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called where another node knows the conversation by another epoch."""
        self._on_doubt = tell

    # ---- saved messages ---------------------------------------------------------------------------

    def message(self, room: Room, seq: int, frame: bytes) -> None:
        """Broadcast what a commit here saved, to the devices here first."""
        if self._on_said and payloads.is_answer(frame):
            type, message_id = payloads.type_and_id(frame)
            for tell in self._on_said:
                tell(room, seq, type, message_id)
        self._take(room, seq, frame)
        self._publish(room.conversation_id, seq, room.epoch, frame)

    def found(self, room: Room, newest: int) -> None:
        """Have the live devices get what is saved up to `newest`: it may be on its way."""
        if newest <= room.last_seq:
            return
        if room.live:
            self._wait_in(room).expect(newest)
        else:
            room.advance(newest)

    def bring_up(self, room: Room, newest: int) -> None:
        """Have the room know now of all that is saved up to `newest`; live devices read what they lack."""
        if newest > room.last_seq:
            self._wait_in(room).expect(newest)
            self._holes.drop(room)
            self._give_up(room)

    def tell_head(self, room: Room) -> None:
        """Say how far the room has got: what was published of it may be lost."""
        self._publish(room.conversation_id, room.last_seq, room.epoch, b"")

    def tell_unsent(self) -> None:
        """Say the same of conversations of which messages could not be published."""
        unsent, self._unsent = self._unsent, {}
        for conversation_id, (seq, epoch) in unsent.items():
            self._publish(conversation_id, seq, epoch, b"")

    def _publish(self, conversation_id: str, seq: int, epoch: str, frame: bytes) -> None:
        channel = conversation_channel(conversation_id)
        if not self._switchboard.publish(channel, Kind.MESSAGE, saved_head(seq, epoch), frame):
            self._unsent[conversation_id] = seq, epoch

    def _heard_message(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        if room is None:
            return
        seq, epoch = read_saved_head(envelope.head)
        if room.conversation is not None and room.epoch != epoch:
            self._on_doubt(room)
        elif envelope.frame:
            if payloads.is_answer(envelope.frame):
                self._on_answer(room)
            type, message_id = payloads.type_and_id(envelope.frame)
            for tell in self._on_heard:
                tell(room, seq, type, message_id)
            self._take(room, seq, envelope.frame)
        else:
            self.found(room, seq)

    def _take(self, room: Room, seq: int, frame: bytes) -> None:
        if seq == room.last_seq + 1 and room not in self._early:
            super().message(room, seq, frame)
        elif not room.live:
            room.advance(seq)  # whoever is being replayed to reads it
        elif seq > room.last_seq:
            early = self._wait_in(room)
            early.add(seq, frame)
            self._deliver(room, early)

    # ---- what is waited for -----------------------------------------------------------------------

    def _wait_in(self, room: Room) -> Early:
        early = self._early.get(room)
        if early is None:
            early = self._early[room] = Early()
            patience = 0.0 if self._switchboard.is_away else _PATIENCE
            self._holes.set(room, time.monotonic() + patience)
            for connection in room.live:
                connection.begin_replay()
        return early

    def _joined(self, connection: Connection) -> None:
        if connection.room in self._early:
            connection.begin_replay()

    def _deliver(self, room: Room, early: Early) -> None:
        for frame in early.take(room.last_seq):
            super().message(room, room.last_seq + 1, frame)
        for connection in room.live:
            connection.release_acks(room.last_seq)
        if early.newest <= room.last_seq:
            self._holes.drop(room)
            del self._early[room]
            for connection in room.live:
                connection.end_replay()

    def _give_up(self, room: Room) -> None:
        """Have what did not come read from the store, and with it what came early."""
        early = self._early[room]
        self._deliver(room, early)
        if early.newest > room.last_seq:
            del self._early[room]
            self._catch_up(room, early.newest)

    # ---- signals ----------------------------------------------------------------------------------

    def signal(
        self,
        room: Room,
        type: MessageType,
        data: Any,
        sender: str = SERVER_SENDER,
        *,
        key: tuple[str, ...] = (),
        message_id: str | None = None,
        to: Iterable[Connection] | None = None,
        but: Connection | None = None,
    ) -> int:
        """As FanOut does, and to the devices on other nodes; with `to`, to those devices alone."""
        new_id = message_id or self._ids.new()
        stamp = self._replies.stamp()
        frame = text_frame(payloads.signal(type, room.conversation_id, new_id, data, stamp, sender))
        if to is None and room.elsewhere:
            head = facts_head({"type": type, "key": key, "data": data})
            self._switchboard.publish(conversation_channel(room.conversation_id), Kind.SIGNAL, head, frame)
        offered = Signal(frame, *key) if key else frame
        told = self.offer(room.connections if to is None else to, offered, but)
        return told + room.elsewhere if to is None else told

    def _heard_signal(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        if room is None:
            return
        facts = envelope.facts
        key = tuple(facts["key"])
        self.offer(room.connections, Signal(envelope.frame, *key) if key else envelope.frame)
        for tell in self._on_signal:
            tell(room, facts)
