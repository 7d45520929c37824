"""Read receipts: how far the user and the AI have read, saved and passed on when it is forward."""

import time
from collections.abc import Callable
from typing import NamedTuple

from server.core.model import Advance, Position, Refused
from server.core.signal_data import ReadUpTo, invalid
from server.ports import MessageStore
from server.protocol import MessageType
from server.runtime.base.awaited_commit import AwaitedCommit
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.room import Connection, Room


class Read(NamedTuple):
    """The message that was read up to. `moved`: nobody had read so far before."""

    message_id: str | None  # None in a conversation without messages
    seq: int
    moved: bool


class Receipts:
    """Many positions are saved in one transaction. Methods raise StoreUnavailable."""

    def __init__(self, store: MessageStore, fan_out: FanOut, timeout: float) -> None:
        self._store = store
        self._fan_out = fan_out
        self._advances: AwaitedCommit[Advance, bool] = AwaitedCommit(
            store.advance, timeout, "the position could not be saved in time"
        )
        self._on_read: Callable[[Room, int], None] = lambda room, seq: None

    def when_read(self, tell: Callable[[Room, int], None]) -> None:
        """From now on `tell` is called when the user has read further, with the seq."""
        self._on_read = tell

    async def user_read(self, connection: Connection, up_to: ReadUpTo, frame_id: str) -> Read | Refused:
        """A device says so; the others hear it under the id of its frame."""
        room = connection.room
        read = await self._read(room, Position.USER_READ, up_to)
        if isinstance(read, Read) and read.moved:
            self._pass_on(room, read, connection.info.user_id, frame_id, connection)
            self._on_read(room, read.seq)
        return read

    async def ai_read(self, room: Room, up_to: ReadUpTo) -> Read | Refused:
        """The AI has read; all devices hear it."""
        read = await self._read(room, Position.AI_READ, up_to)
        if isinstance(read, Read) and read.moved:
            self._pass_on(room, read, room.ai_id)
        return read

    async def advance(self, room: Room, position: Position, seq: int) -> bool:
        """Saves a position; whether it moved."""
        return await self._advances.save(Advance(room.key, position, seq, time.monotonic()))

    async def _read(self, room: Room, position: Position, up_to: ReadUpTo) -> Read | Refused:
        found = await self._find(room, up_to)
        if isinstance(found, Refused) or found.seq == 0:
            return found
        return found._replace(moved=await self.advance(room, position, found.seq))

    async def _find(self, room: Room, up_to: ReadUpTo) -> Read | Refused:
        if up_to.message_id is not None:
            message = await self._store.find_message(room.key, up_to.message_id)
            if message is None:
                return invalid("data.message_id: there is no such message in this conversation")
            return Read(message.message_id, message.seq, False)
        assert up_to.seq is not None
        seq = min(up_to.seq, room.last_seq)
        messages = await self._store.history(room.key, seq - 1, 1) if seq else []
        return Read(messages[0].message_id, seq, False) if messages else Read(None, 0, False)

    def _pass_on(
        self,
        room: Room,
        read: Read,
        reader: str,
        frame_id: str | None = None,
        but: Connection | None = None,
    ) -> None:
        data = {"message_id": read.message_id, "seq": read.seq}
        self._fan_out.signal(room, MessageType.READ_RECEIPT, data, reader, message_id=frame_id, but=but)
