"""Bringing a device up to date from the store, at its own pace, until it can go live."""

import asyncio
import time
from typing import Final

from server.core import payloads
from server.core.model import StoredMessage
from server.core.timestamps import rfc3339
from server.core.websocket_frames import text_frame
from server.ports import MessageStore, StoreUnavailable
from server.protocol.closing import HISTORY_UNREADABLE
from server.runtime.base.background import Background
from server.runtime.base.turnstile import Turnstile
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection, Room

# A device that does not read holds a page, so it is bounded in bytes too; the texts of the last one tell how
# long the next ones may be.
_PAGE, _FIRST_PAGE = 100, 10
_PAGE_BYTES: Final = 128 * 1024
# A device that was up to date is not sent away because the database restarts.
_PATIENCE: Final = 10.0  # seconds
_PAUSE: Final = 0.5  # seconds between two questions to a database that does not answer


class Replayer:
    """The truth is the store: pages are read after the device's position until that is the room's newest.

    What is saved meanwhile is not offered to the device but raises the room's newest, so the next
    page has it. The last page and going live happen without an await in between.
    """

    def __init__(self, manager: ConnectionManager, store: MessageStore, background: Background) -> None:
        self._manager = manager
        self._store = store
        self._background = background
        self._turns = Turnstile()

    def begin(self, connection: Connection, after: int, patience: float = 0.0) -> None:
        """Sends everything above seq `after`; the connection is live at the end, or closed.

        `patience`: seconds for which it waits for a database that does not answer.
        """
        connection.begin_replay()
        self._background.run(self._replay(connection, after, time.monotonic() + patience), "replay")

    def bring_up(self, room: Room, newest: int) -> None:
        """Up to `newest` something was saved that was not delivered here: who is live reads it too."""
        known = room.advance(newest)
        for connection in self._manager.take_back(room):
            self.begin(connection, known, _PATIENCE)

    async def _replay(self, connection: Connection, after: int, patient_until: float) -> None:
        try:
            await self._catch_up(connection, after, patient_until)
        except StoreUnavailable:
            connection.close(*HISTORY_UNREADABLE)
        except Exception:
            connection.fail()

    async def _catch_up(self, connection: Connection, position: int, patient_until: float) -> None:
        room, size = connection.room, min(_FIRST_PAGE, _PAGE)
        while connection.close_code is None:
            connection.release_acks(position)
            if position >= room.last_seq:
                self._manager.go_live(connection)
                return
            if page := await self._page_in_time(connection, position, size, patient_until):
                await connection.writable()
                frames = [self._frame(room.conversation_id, message) for message in page]
                connection.write_replay(frames)
                position = page[-1].seq
                size = max(1, min(_PAGE, _PAGE_BYTES * len(frames) // sum(map(len, frames))))

    async def _page_in_time(
        self, connection: Connection, position: int, size: int, patient_until: float
    ) -> list[StoredMessage]:
        """Raises StoreUnavailable where the database does not answer until that monotonic time."""
        while True:
            try:
                return await self._page(connection, position, size)
            except StoreUnavailable:
                if time.monotonic() + _PAUSE > patient_until:
                    raise
            await asyncio.sleep(_PAUSE)

    async def _page(self, connection: Connection, position: int, size: int) -> list[StoredMessage]:
        """Read the next messages, when it is this user's turn; nothing for a device that is gone by then.

        Raises StoreUnavailable.
        """
        async with self._turns.of(connection.info.user_id):
            if connection.close_code is not None:
                return []
            # Not beyond the newest: what is committed but still to be broadcast would come twice.
            missing = connection.room.last_seq - position
            page = await self._store.history(connection.room.key, position, min(size, missing))
        if not page:
            raise StoreUnavailable("the history ends early")
        return page

    @staticmethod
    def _frame(conversation_id: str, message: StoredMessage) -> bytes:
        payload = payloads.saved_message(conversation_id, message.seq, message, rfc3339(message.created_at))
        return text_frame(payload)
