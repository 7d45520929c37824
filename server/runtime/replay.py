"""Bringing a device up to date from the store, at its own pace, until it can go live."""

from typing import Final

import structlog

from server.core import frames
from server.core.clock import rfc3339
from server.core.framing import text_frame
from server.core.model import StoredMessage
from server.ports import MessageStore, StoreUnavailable
from server.protocol import CloseCode
from server.runtime.connection import Connection
from server.runtime.manager import ConnectionManager

log = structlog.get_logger()

_PAGE: Final = 100


class Replayer:
    """The truth is the store: pages are read after the device's position until that is the room's newest.

    What is saved meanwhile is not offered to the device but raises the room's newest, so the next
    page has it. The last page and going live happen without an await in between.
    """

    def __init__(self, manager: ConnectionManager, store: MessageStore) -> None:
        self._manager = manager
        self._store = store

    async def replay(self, connection: Connection, after: int) -> None:
        """Sends everything above seq `after`; the connection is live at the end, or closed."""
        try:
            await self._catch_up(connection, after)
        except (StoreUnavailable, TimeoutError):
            connection.close(CloseCode.TRY_AGAIN_LATER, "the history could not be read")
        except Exception:
            log.exception("a replay failed", **connection.info.context())
            connection.close(CloseCode.INTERNAL_ERROR, "the history could not be sent")

    async def _catch_up(self, connection: Connection, position: int) -> None:
        room = connection.room
        while connection.close_code is None:
            connection.release_acks(position)
            if position >= room.last_seq:
                self._manager.go_live(connection)
                return
            rows = await self._store.history(room.key, position, _PAGE)
            # What is committed and not yet broadcast comes to the device live.
            page = [message for message in rows if message.seq <= room.last_seq]
            if not page:
                raise StoreUnavailable("the history ends early")
            connection.write_replay([self._frame(room.conversation_id, message) for message in page])
            position = page[-1].seq
            await connection.writable()

    @staticmethod
    def _frame(conversation_id: str, message: StoredMessage) -> bytes:
        payload = frames.saved_message(conversation_id, message.seq, message, rfc3339(message.created_at))
        return text_frame(payload)
