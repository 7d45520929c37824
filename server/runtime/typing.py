"""Typing indicators: passed on to the other devices, and ended when their typist falls silent."""

import time
from collections.abc import Callable

from server.core import frames
from server.core.framing import text_frame
from server.core.outbox import Signal
from server.protocol import MessageType
from server.runtime.connection import Connection
from server.runtime.ids import IdMaker
from server.runtime.manager import ConnectionManager
from server.runtime.room import Room
from server.runtime.timers import Timers


class TypingRelay:
    """A typist is a device, or a room in which the AI types. Timeouts in seconds."""

    def __init__(self, manager: ConnectionManager, ids: IdMaker, timeout: float, ai_timeout: float) -> None:
        self._manager = manager
        self._ids = ids
        self._timeout = timeout
        self._ai_timeout = ai_timeout
        self._devices: Timers[Connection] = Timers(self._fall_silent)
        self._ais: Timers[Room] = Timers(self._ai_falls_silent)
        self._on_change: Callable[[Room], None] | None = None
        manager.when_left(self.stop)

    def when_changed(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called when a device of the room starts, goes on or stops typing."""
        self._on_change = tell

    def is_user_typing(self, room: Room) -> bool:
        return any(connection.is_typing for connection in room.connections)

    def indicate(self, connection: Connection, is_typing: bool, message_id: str | None) -> None:
        """The device says so."""
        if is_typing:
            self._devices.set(connection, time.monotonic() + self._timeout)
        else:
            self._devices.drop(connection)
        self._pass_on(connection, is_typing, message_id)

    def stop(self, connection: Connection) -> None:
        """The device sent its message, or is gone."""
        if self._devices.drop(connection):
            self._pass_on(connection, False)

    def indicate_ai(self, room: Room, is_typing: bool) -> int:
        """The AI types or stops; how many devices are told."""
        if is_typing:
            self._ais.set(room, time.monotonic() + self._ai_timeout)
        else:
            self._ais.drop(room)
        return self._tell_ai(room, is_typing)

    def stop_ai(self, room: Room) -> None:
        """The AI's answer follows, or none will."""
        if self._ais.drop(room):
            self._tell_ai(room, False)

    def _fall_silent(self, connection: Connection) -> None:
        try:
            self._pass_on(connection, False)
        except Exception:
            connection.fail()

    def _ai_falls_silent(self, room: Room) -> None:
        self._tell_ai(room, False)

    def _pass_on(self, typist: Connection, is_typing: bool, message_id: str | None = None) -> None:
        info = typist.info
        typist.is_typing = is_typing
        signal = self._signal(typist.room, info.user_id, info.connection_id, is_typing, message_id)
        self._manager.signal_conversation(typist.room, signal, but=typist)
        if self._on_change is not None:
            self._on_change(typist.room)

    def _tell_ai(self, room: Room, is_typing: bool) -> int:
        assert room.conversation is not None
        ai_id = room.conversation.ai["id"]
        self._manager.signal_conversation(room, self._signal(room, ai_id, ai_id, is_typing))
        return len(room.connections)

    def _signal(
        self, room: Room, sender: str, typist: str, is_typing: bool, message_id: str | None = None
    ) -> Signal:
        payload = frames.signal(
            MessageType.TYPING_INDICATOR,
            room.conversation_id,
            message_id or self._ids.new(),
            {"is_typing": is_typing},
            self._manager.stamp(),
            sender,
        )
        return Signal(text_frame(payload), "TYPING_INDICATOR", typist)
