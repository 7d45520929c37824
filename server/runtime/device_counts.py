"""The `devices` event: how many devices are now connected to a conversation, told to the others."""

import asyncio
from collections.abc import Callable
from itertools import islice

from server.core import frames
from server.core.framing import text_frame
from server.core.outbox import Signal
from server.protocol import MessageType
from server.runtime.ids import IdMaker
from server.runtime.room import Room
from server.runtime.steps import STEP


class DeviceCounts:
    """Tells at the end of a turn of the loop, so that a device which is replaced changes nothing.

    Who came learned the number from the welcome. Owned by the ConnectionManager.
    """

    def __init__(self, ids: IdMaker, stamp: Callable[[], str]) -> None:
        self._ids = ids
        self._stamp = stamp
        self._loop = asyncio.get_running_loop()
        self._changed: dict[Room, None] = {}  # a set in order

    def changed(self, room: Room) -> None:
        """A device came or went."""
        if not self._changed:
            self._loop.call_soon(self._tell)
        self._changed[room] = None

    def _tell(self) -> None:
        rooms = list(islice(self._changed, STEP))
        for room in rooms:
            del self._changed[room]
        if self._changed:
            self._loop.call_soon(self._tell)
        for room in rooms:
            self._tell_room(room)

    def _tell_room(self, room: Room) -> None:
        devices = len(room.connections)
        others = [connection for connection in room.connections if connection.devices_told != devices]
        if not others:
            return
        data = {"event": "devices", "devices": devices}
        payload = frames.signal(
            MessageType.SYSTEM, room.conversation_id, self._ids.new(), data, self._stamp()
        )
        frame = Signal(text_frame(payload), "devices")
        for connection in others:
            connection.devices_told = devices
            connection.offer(frame)
