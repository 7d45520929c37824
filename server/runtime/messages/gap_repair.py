"""What was saved without this process hearing of it at once: found, and read by those who missed it."""

import asyncio
from typing import Final

from server.ports import MessageStore, StoreUnavailable
from server.runtime.base.background import Background
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.room import Room

_PAUSE: Final = 1.0  # seconds between two questions to a database that does not answer


class GapRepair:
    """Asks the store after a commit that ended in an error which leaves open what was saved."""

    def __init__(self, store: MessageStore, fan_out: FanOut, background: Background) -> None:
        self._store = store
        self._fan_out = fan_out
        self._background = background
        self._in_doubt: set[Room] = set()

    def suspect(self, room: Room) -> None:
        """Find out whether something was saved unheard, and have the devices of the room read it."""
        if room not in self._in_doubt:
            self._in_doubt.add(room)
            self._background.run(self._find_out(room), "find-out")

    async def _find_out(self, room: Room) -> None:
        newest = None
        # Of what is being saved the store may tell before its broadcast: then this would be a second one.
        while room.connections and (newest is None or room.saving):
            await asyncio.sleep(_PAUSE)
            newest = await self._newest(room)
        self._in_doubt.discard(room)
        if newest is not None:
            self._fan_out.found(room, newest)

    async def _newest(self, room: Room) -> int | None:
        """None when the store does not tell."""
        try:
            conversation = await self._store.find_conversation(room.conversation_id)
        except StoreUnavailable:
            return None
        return room.last_seq if conversation is None else conversation.last_seq
