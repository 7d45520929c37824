"""Typing indicators: passed on to the other devices, and ended when their typist falls silent."""

import time
from collections.abc import Callable

from server.protocol import MessageType
from server.runtime.base.timers import Timers
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection, Room


class TypingRelay:
    """A typist is a device, or a room in which the AI types. Timeouts in seconds."""

    def __init__(
        self, manager: ConnectionManager, fan_out: FanOut, timeout: float, ai_timeout: float
    ) -> None:
        self._fan_out = fan_out
        self._timeout = timeout
        self._ai_timeout = ai_timeout
        self._devices: Timers[Connection] = Timers(self._fall_silent)
        self._ais: Timers[Room] = Timers(self._ai_falls_silent)
        self._on_change: list[Callable[[Room], None]] = []
        manager.when_left(self.stop)

    def when_changed(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called when a device of the room starts, goes on or stops typing."""
        self._on_change.append(tell)

    def when_changed_anywhere(self, tell: Callable[[Room], None]) -> None:
        """As `when_changed`, also of devices on other nodes."""
        self.when_changed(tell)

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
        key = (MessageType.TYPING_INDICATOR, info.connection_id)
        self._fan_out.signal(
            typist.room,
            MessageType.TYPING_INDICATOR,
            {"is_typing": is_typing},
            info.user_id,
            key=key,
            message_id=message_id,
            but=typist,
        )
        for tell in self._on_change:
            tell(typist.room)

    def _tell_ai(self, room: Room, is_typing: bool) -> int:
        data, ai_id = {"is_typing": is_typing}, room.ai_id
        key = (MessageType.TYPING_INDICATOR, ai_id)
        return self._fan_out.signal(room, MessageType.TYPING_INDICATOR, data, ai_id, key=key)
