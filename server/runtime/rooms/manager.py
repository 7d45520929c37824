"""ConnectionManager: who is connected, to which conversation."""

import logging
import time
from collections.abc import Callable, Collection, Iterator

import structlog

from server.core.join_request import JoinRequest
from server.ports import Socket
from server.protocol import CloseCode, ErrorCode
from server.protocol.closing import CONNECTED_AGAIN, DATABASE_REPLACED, KICKED, Close
from server.runtime.base.clock import now_ms
from server.runtime.base.metrics import Metrics
from server.runtime.rooms.connection_info import ConnectionInfo
from server.runtime.rooms.flusher import Flusher
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Listener, Room
from server.runtime.rooms.sessions import Seat, Session, Sessions

log = structlog.get_logger()


class ConnectionManager:
    """Owns membership: only its own methods, all synchronous, change who is connected to what."""

    def __init__(
        self,
        metrics: Metrics,
        sessions: Sessions,
        flusher: Flusher,
        replies: Replies,
        send_queue: int,
    ) -> None:
        self._metrics = metrics
        self._sessions = sessions
        self._flusher = flusher
        self._replies = replies
        self._send_queue = send_queue
        self._connections: dict[str, Connection] = {}  # by connection_id
        self._users: dict[str, tuple[Connection, ...]] = {}
        self._rooms: dict[str, Room] = {}
        self._on_left: list[Callable[[Connection], None]] = []
        self._on_live: list[Callable[[Connection], None]] = []
        self._on_watching: list[Callable[[Connection], None]] = []
        self._on_changed: list[Callable[[Room], None]] = []
        self._is_traced = log.is_enabled_for(logging.DEBUG)

    # ---- membership -------------------------------------------------------------------------------

    def connect(
        self,
        socket: Socket,
        request: JoinRequest,
        room: Room,
        listener: Listener,
        now: float,
        seat: Seat,
    ) -> tuple[Connection, Session]:
        """Adds a device to its room; an older connection of the same device is closed first (4500)."""
        client_id = request.client_id or seat.connection_id
        self._replace(client_id, room)
        session = self._sessions.open(
            room.conversation_id, client_id, request.session_id, seat.session_id, now
        )
        info = ConnectionInfo(
            connection_id=seat.connection_id,
            user_id=request.user_id,
            conversation_id=room.conversation_id,
            client_id=client_id,
            session_id=session.id,
            ip=request.ip,
            connected_at=now_ms(),
            opened=now,
            last_heartbeat=now,
            last_ping=now,
            last_writable=now,
            reconnects=session.reconnects,
            expires=request.expires,
        )
        connection = Connection(
            info, room, socket, self._flusher, self._send_queue, self._replies, listener, self
        )
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
        room.watching = _without(room.watching, connection)
        if left := _without(self._users[info.user_id], connection):
            self._users[info.user_id] = left
        else:
            del self._users[info.user_id]
        now = time.monotonic()
        self._sessions.leave(info.conversation_id, info.client_id, info.session_id, info.reconnects, now)
        self._count_closed(info, code, reason, now)
        for tell in self._on_left:
            tell(connection)
        self._tell_changed(room)
        self.drop_if_unused(room)

    def heard_out(self, connection: Connection) -> None:
        """The end of a connection that was disconnected before. The connection itself calls it, once."""
        self._metrics.received += connection.info.received
        self.release(connection.room)

    def when_left(self, tell: Callable[[Connection], None]) -> None:
        """From now on `tell` is called with each connection that has left its room."""
        self._on_left.append(tell)

    def when_changed(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called with each room that a device came into or left."""
        self._on_changed.append(tell)

    def when_live(self, tell: Callable[[Connection], None]) -> None:
        """From now on `tell` is called with each connection that has caught up."""
        self._on_live.append(tell)

    def when_watching(self, tell: Callable[[Connection], None]) -> None:
        """From now on `tell` is called with each connection that has caught up for the first time."""
        self._on_watching.append(tell)

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
            for tell in self._on_live:
                tell(connection)
            if connection not in connection.room.watching:
                connection.room.watching += (connection,)
                for tell in self._on_watching:
                    tell(connection)

    def take_back(self, room: Room) -> tuple[Connection, ...]:
        """Those that were live: from now on no broadcast reaches them, until `go_live`."""
        behind, room.live = room.live, ()
        return behind

    def close_room(self, room: Room, close: Close) -> None:
        """Sends the room's devices away; whoever comes next gets a new room."""
        for connection in room.connections:
            connection.close(*close)
        self.forget(room)

    def kick(self, connection_id: str) -> bool:
        """Closes a connection for an operator; False where there is none with that id here."""
        connection = self._connections.get(connection_id)
        if connection is None:
            return False
        log.info("closed by an operator", **connection.info.context())
        connection.close(*KICKED)
        return True

    def start_over(self) -> None:
        """Sends every device away to come back, after another database took over: rooms know the old one."""
        for connection in list(self._connections.values()):
            self.forget(connection.room)
            connection.close(*DATABASE_REPLACED)

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
        return self._metrics.received + sum(c.info.received for c in self._connections.values())

    @property
    def current(self) -> int:
        return len(self._connections)

    @property
    def users(self) -> Collection[str]:
        """Those with a connection."""
        return self._users.keys()

    # ---- within ---------------------------------------------------------------------------------------

    def _replace(self, client_id: str, room: Room) -> None:
        for old in room.connections:
            if old.info.client_id == client_id:
                old.close(*CONNECTED_AGAIN)

    def _add(self, connection: Connection) -> None:
        info, metrics = connection.info, self._metrics
        self._connections[info.connection_id] = connection
        connection.room.connections += (connection,)
        connection.devices_told = connection.room.devices  # by its welcome
        self._tell_changed(connection.room)
        self._users[info.user_id] = (*self._users.get(info.user_id, ()), connection)
        metrics.connections_total += 1
        metrics.connections_peak = max(metrics.connections_peak, len(self._connections))
        if info.reconnects:
            metrics.reconnections += 1
        event = "reconnect" if info.reconnects else "connect"
        self._record(event, info)

    def _count_closed(self, info: ConnectionInfo, code: int, reason: str, now: float) -> None:
        self._metrics.closed[str(code)] += 1
        self._metrics.durations.append(now - info.opened)
        self._metrics.sent += info.sent
        self._metrics.received += info.received
        info.received = 0  # from now on: of what is still heard
        event = "replace" if code == CloseCode.REPLACED else "disconnect"
        self._record(event, info, code=code, reason=reason)
        if code == CloseCode.INTERNAL_ERROR:
            self._metrics.record_error(ErrorCode.INTERNAL_ERROR, reason, **info.context())

    def _record(self, event: str, info: ConnectionInfo, **details: object) -> None:
        context = info.context() | details
        self._metrics.record_event(event, **context)
        if self._is_traced:
            log.debug(event, **context)

    def _tell_changed(self, room: Room) -> None:
        for tell in self._on_changed:
            tell(room)

    def drop_if_unused(self, room: Room) -> None:
        if room.is_unused:
            self.forget(room)

    def forget(self, room: Room) -> None:
        """The next who asks for the conversation gets a new room, which knows nothing yet."""
        if self._rooms.get(room.conversation_id) is room:
            del self._rooms[room.conversation_id]


def _without(connections: tuple[Connection, ...], gone: Connection) -> tuple[Connection, ...]:
    return tuple(c for c in connections if c is not gone)
