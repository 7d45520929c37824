"""ConnectionManager: who is connected, to which conversation, and how frames reach them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

import structlog

from server.core import frames
from server.core.clock import rfc3339
from server.core.framing import text_frame
from server.core.joining import JoinRequest
from server.core.model import Refused
from server.core.outbox import Signal
from server.ports import Socket
from server.protocol import CloseCode, ErrorCode, MessageType
from server.runtime.connection import Connection, ConnectionInfo, Flusher, Listener
from server.runtime.device_counts import DeviceCounts
from server.runtime.ids import IdMaker
from server.runtime.metrics import Metrics
from server.runtime.room import Room
from server.runtime.sessions import Session, Sessions

log = structlog.get_logger()


class ConnectionManager:
    """Owns membership: only its own methods, all synchronous, change who is connected to what."""

    def __init__(
        self,
        metrics: Metrics,
        ids: IdMaker,
        sessions: Sessions,
        send_queue: int,
    ) -> None:
        self.metrics = metrics
        self._ids = ids
        self._sessions = sessions
        self._send_queue = send_queue
        self._flusher = Flusher(asyncio.get_running_loop())
        self._connections: dict[str, Connection] = {}  # by connection_id
        self._users: dict[str, tuple[Connection, ...]] = {}
        self._rooms: dict[str, Room] = {}
        self._turn_stamp = ""
        self._on_left: list[Callable[[Connection], None]] = []
        self._device_counts = DeviceCounts(ids, self.stamp)
        self._is_traced = log.is_enabled_for(logging.DEBUG)

    # ---- membership -------------------------------------------------------------------------------

    def connect(
        self, socket: Socket, request: JoinRequest, room: Room, listener: Listener, now: float
    ) -> tuple[Connection, Session]:
        """Adds a device to its room; an older connection of the same device is closed first (4500)."""
        client_id = request.client_id or self._ids.new()
        self._replace(client_id, room)
        session = self._sessions.open(room.conversation_id, client_id, request.session_id, now)
        info = ConnectionInfo(
            connection_id=self._ids.new(),
            user_id=request.user_id,
            conversation_id=room.conversation_id,
            client_id=client_id,
            session_id=session.id,
            ip=request.ip,
            connected_at=time.time_ns() // 1_000_000,
            opened=now,
            last_heartbeat=now,
            last_ping=now,
            reconnects=session.reconnects,
            expires=request.expires,
        )
        connection = Connection(info, room, socket, self._flusher, self._send_queue, listener, self)
        self._add(connection)
        return connection, session

    def disconnect(self, connection: Connection, code: int, reason: str) -> None:
        """Removes a connection everywhere. The connection itself calls it, once."""
        info, room = connection.info, connection.room
        if connection.is_heard_out:
            room.holders += 1  # devices that come meanwhile are in the room that its last messages reach
        del self._connections[info.connection_id]
        room.connections = _without(room.connections, connection)
        room.live = _without(room.live, connection)
        if left := _without(self._users[info.user_id], connection):
            self._users[info.user_id] = left
        else:
            del self._users[info.user_id]
        now = time.monotonic()
        self._sessions.leave(info.conversation_id, info.client_id, info.session_id, info.reconnects, now)
        self._count_closed(info, code, reason, now)
        for tell in self._on_left:
            tell(connection)
        self._device_counts.changed(room)
        self.drop_if_unused(room)

    def heard_out(self, connection: Connection) -> None:
        """The end of a connection that was disconnected before. The connection itself calls it, once."""
        self.metrics.received += connection.info.received
        self.release(connection.room)

    def when_left(self, tell: Callable[[Connection], None]) -> None:
        """From now on `tell` is called with each connection that has left its room."""
        self._on_left.append(tell)

    def hold(self, conversation_id: str) -> Room:
        """The conversation's room, kept until `release`: what is saved meanwhile is not missed."""
        room = self._rooms.get(conversation_id)
        if room is None:
            room = self._rooms[conversation_id] = Room(conversation_id)
        room.holders += 1
        return room

    def release(self, room: Room) -> None:
        room.holders -= 1
        self.drop_if_unused(room)

    def go_live(self, connection: Connection) -> None:
        """From now on broadcasts reach it; it has all up to its room's last_seq."""
        if connection.close_code is None:
            connection.end_replay()
            connection.room.live += (connection,)

    def take_back(self, room: Room) -> tuple[Connection, ...]:
        """Those that were live: from now on no broadcast reaches them, until `go_live`."""
        behind, room.live = room.live, ()
        return behind

    # ---- sending ------------------------------------------------------------------------------------

    def send_to_user(self, user_id: str, type: MessageType, data: object) -> int:
        """To all devices of the user, in whatever conversation; how many those are."""
        devices = self.devices_of(user_id)
        for connection in devices:
            self.send(connection, type, data)
        return len(devices)

    def broadcast_to_conversation(self, conversation_id: str, frame: bytes) -> None:
        """To all devices of the conversation that have caught up; the others get it by their replay."""
        for connection in self._rooms[conversation_id].live:
            connection.offer(frame)

    def signal_conversation(self, room: Room, signal: Signal, but: Connection | None = None) -> None:
        """A frame that may be dropped, to all devices of the conversation but one."""
        for connection in room.connections:
            if connection is not but:
                connection.offer(signal)

    def send_ack(
        self, connection: Connection, message_id: str, seq: int | None = None, duplicate: bool = False
    ) -> None:
        """Done. `seq` is that of a saved message."""
        self.metrics.acked += 1
        if duplicate:
            self.metrics.duplicates += 1
        if self._is_traced:
            log.debug("acked", message_id=message_id, seq=seq, connection_id=connection.info.connection_id)
        stamp = self._turn_stamp or self.stamp()
        frame = text_frame(frames.ack(connection.info.conversation_id, message_id, seq, duplicate, stamp))
        if seq is None:
            connection.offer(frame)
        else:
            connection.offer_ack(seq, frame)

    def send_nack(self, connection: Connection, message_id: str, why: Refused) -> None:
        """Not done, and this is why."""
        self.metrics.nacked[why.code] += 1
        if self._is_traced:
            info = connection.info
            log.debug("nacked", message_id=message_id, code=why.code, connection_id=info.connection_id)
        self._refuse(connection, message_id, why)

    def send_error(self, connection: Connection, why: Refused) -> None:
        """A frame that cannot be answered by a NACK."""
        self._refuse(connection, None, why)

    def send_system(self, connection: Connection, data: object) -> None:
        """A SYSTEM message to one device."""
        self.send(connection, MessageType.SYSTEM, data)

    def send(self, connection: Connection, type: MessageType, data: object) -> None:
        """A frame of the server to one device, under the conversation that the device is in."""
        info = connection.info
        payload = frames.signal(type, info.conversation_id, self._ids.new(), data, self.stamp())
        connection.offer(text_frame(payload))

    def send_ping(self, connection: Connection) -> None:
        """Asks for a sign of life."""
        info = connection.info
        payload = frames.signal(MessageType.PING, info.conversation_id, self._ids.new(), None, self.stamp())
        connection.offer(Signal(text_frame(payload), "PING"))

    def send_pong(self, connection: Connection, message_id: str | None, data: object) -> None:
        """The answer to a PING, repeating its message_id and data."""
        info = connection.info
        payload = frames.signal(
            MessageType.PONG, info.conversation_id, message_id or self._ids.new(), data, self.stamp()
        )
        connection.offer(Signal(text_frame(payload), "PONG"))

    def flush(self) -> None:
        """Writes out now what was offered in this turn of the loop."""
        self._turn_stamp = ""
        self._flusher.flush()

    def hold_answers(self) -> None:
        """Until `flush`, which the caller owes in this turn, all ACKs have one stamp."""
        self._turn_stamp = self.stamp()
        self._flusher.hold()

    def stamp(self) -> str:
        """The time now, as frames have it."""
        return rfc3339(time.time_ns() // 1_000_000)

    # ---- looking --------------------------------------------------------------------------------------

    def room(self, conversation_id: str) -> Room | None:
        return self._rooms.get(conversation_id)

    def find(self, connection_id: str) -> Connection | None:
        return self._connections.get(connection_id)

    def connections(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def rooms(self) -> Iterator[Room]:
        """Those with somebody in them."""
        return (room for room in self._rooms.values() if room.connections)

    def devices_of(self, user_id: str) -> tuple[Connection, ...]:
        """The user's connections, to whatever conversations."""
        return self._users.get(user_id, ())

    @property
    def received(self) -> int:
        """Frames that clients sent, since the start."""
        return self.metrics.received + sum(c.info.received for c in self._connections.values())

    @property
    def current(self) -> int:
        return len(self._connections)

    @property
    def users(self) -> int:
        return len(self._users)

    # ---- within ---------------------------------------------------------------------------------------

    def _replace(self, client_id: str, room: Room) -> None:
        for old in room.connections:
            if old.info.client_id == client_id:
                old.close(CloseCode.REPLACED, "this device connected again")

    def _add(self, connection: Connection) -> None:
        info, metrics = connection.info, self.metrics
        self._connections[info.connection_id] = connection
        connection.room.connections += (connection,)
        connection.devices_told = len(connection.room.connections)  # by its welcome
        self._device_counts.changed(connection.room)
        self._users[info.user_id] = (*self._users.get(info.user_id, ()), connection)
        metrics.connections_total += 1
        metrics.connections_peak = max(metrics.connections_peak, len(self._connections))
        if info.reconnects:
            metrics.reconnections += 1
        event = "reconnect" if info.reconnects else "connect"
        self._record(event, info)

    def _count_closed(self, info: ConnectionInfo, code: int, reason: str, now: float) -> None:
        self.metrics.closed[str(code)] += 1
        self.metrics.durations.append(now - info.opened)
        self.metrics.sent += info.sent
        self.metrics.received += info.received
        info.received = 0  # from now on: of what is still heard
        event = "replace" if code == CloseCode.REPLACED else "disconnect"
        self._record(event, info, code=code, reason=reason)
        if code == CloseCode.INTERNAL_ERROR:
            self.metrics.record_error(ErrorCode.INTERNAL_ERROR, reason, **info.context())

    def _record(self, event: str, info: ConnectionInfo, **details: object) -> None:
        context = info.context() | details
        self.metrics.record_event(event, **context)
        if self._is_traced:
            log.debug(event, **context)

    def drop_if_unused(self, room: Room) -> None:
        if room.is_unused:
            self.forget(room)

    def forget(self, room: Room) -> None:
        """The next who asks for the conversation gets a new room, which knows nothing yet."""
        if self._rooms.get(room.conversation_id) is room:
            del self._rooms[room.conversation_id]

    def _refuse(self, connection: Connection, message_id: str | None, why: Refused) -> None:
        info = connection.info
        self.metrics.record_error(why.code, why.text, message_id=message_id, **info.context())
        payload = frames.refusal(info.conversation_id, message_id, why, self.stamp(), new_id=self._ids.new())
        connection.offer(text_frame(payload))


def _without(connections: tuple[Connection, ...], gone: Connection) -> tuple[Connection, ...]:
    return tuple(c for c in connections if c is not gone)
