"""The one way to the devices of a room: saved messages in seq order, signals as they come."""

from collections.abc import Callable, Iterable
from typing import Any

from server.core import payloads
from server.core.outbox import Signal
from server.core.websocket_frames import text_frame
from server.protocol import SERVER_SENDER, MessageType
from server.runtime.base.ids import IdMaker
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room


class FanOut:
    """Knows order and audiences. What a commit here saved and what another node tells enter alike.

    `catch_up(room, seq)` has the live devices of a room read from the store what they lack up to seq.
    """

    is_heard_elsewhere = False
    """Whether there may be devices on other nodes, for which a message's frame is needed too."""

    def __init__(self, replies: Replies, ids: IdMaker, catch_up: Callable[[Room, int], None]) -> None:
        self._replies = replies
        self._ids = ids
        self._catch_up = catch_up

    def message(self, room: Room, seq: int, frame: bytes) -> None:
        """Broadcast a saved message to the devices that have caught up; the others get it by their replay.

        A seq that is not the next one shows that messages before it are missing here: the devices read
        them, and this one, from the store.
        """
        if seq != room.last_seq + 1:
            self.found(room, seq)
            return
        room.last_seq = seq
        for connection in room.live:
            connection.offer(frame)

    def found(self, room: Room, newest: int) -> None:
        """Have the live devices read what is saved up to `newest`, if the room has not heard of it."""
        if newest > room.last_seq:
            self._catch_up(room, newest)

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
        """Offer a frame that is not saved to devices of the room, all but `but` by default.

        `key`: a later signal with the same key makes this one superfluous, so that it may be dropped for
        a device that is behind; without a key it is kept. Returns how many devices it was offered to.
        """
        new_id = message_id or self._ids.new()
        stamp = self._replies.stamp()
        frame = text_frame(payloads.signal(type, room.conversation_id, new_id, data, stamp, sender))
        offered = Signal(frame, *key) if key else frame
        return self.offer(room.connections if to is None else to, offered, but)

    def offer(self, devices: Iterable[Connection], frame: bytes, but: Connection | None = None) -> int:
        """Offer a frame to devices of one room, all but `but`; return how many those are."""
        told = 0
        for connection in devices:
            if connection is not but:
                connection.offer(frame)
                told += 1
        return told

    def tell(self, devices: Iterable[Connection], type: MessageType, data: object) -> int:
        """Send each device a frame under its own conversation; return how many those are."""
        told = 0
        for connection in devices:
            self._replies.send(connection, type, data)
            told += 1
        return told
