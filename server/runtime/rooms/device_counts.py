"""The `devices` event: how many devices are now connected to a conversation, told to the others."""

import asyncio
from itertools import islice

from server.protocol import MessageType
from server.runtime.base.batches import BATCH_SIZE
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.room import Room


class DeviceCounts:
    """Tells at the end of a turn of the loop, so that a device which is replaced changes nothing.

    A device that came learned the number from its welcome.
    """

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._loop = asyncio.get_running_loop()
        self._changed: dict[Room, None] = {}  # a set in order

    def changed(self, room: Room) -> None:
        """Note that a device came or went."""
        if not self._changed:
            self._loop.call_soon(self._tell)
        self._changed[room] = None

    def _tell(self) -> None:
        rooms = list(islice(self._changed, BATCH_SIZE))
        for room in rooms:
            del self._changed[room]
        if self._changed:
            self._loop.call_soon(self._tell)
        for room in rooms:
            self._tell_room(room)

    def _tell_room(self, room: Room) -> None:
        devices = room.devices
        others = [connection for connection in room.connections if connection.devices_told != devices]
        if not others:
            return
        for connection in others:
            connection.devices_told = devices
        data = {"event": "devices", "devices": devices}
        self._fan_out.signal(room, MessageType.SYSTEM, data, key=("devices",), to=others)
