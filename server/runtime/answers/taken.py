"""Turns that the AI service took and will answer by the REST API: until when they can be cancelled."""

import time
from collections import OrderedDict
from typing import Final

from server.protocol import answered_seq_of
from server.runtime.base.timers import Timers
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room
from server.runtime.signals.typing import TypingRelay

_MAX_CLOSED: Final = 10_000  # turns; beyond, the oldest is forgotten, and a late answer to it would be saved


class TakenTurns:
    """A turn is open from `take` until its answer, its cancellation or the end of the typing indicator.

    `is_service`: a service of the application answers, so that an answer to a turn that counts as answered
    already is one that comes late, if nobody closed the turn. Otherwise it is a second answer.
    """

    def __init__(
        self, manager: ConnectionManager, typing: TypingRelay, timeout: float, is_service: bool
    ) -> None:
        self._manager = manager
        self._typing = typing
        self._timeout = timeout
        self._is_service = is_service
        self._open: dict[Room, set[int]] = {}  # by room, the last seqs of its turns
        self._closed: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._ends: Timers[tuple[Room, int]] = Timers(lambda turn: self.answered(*turn))

    def take(self, room: Room, seq: int) -> None:
        """Note that the service will answer the turn that ends with `seq`."""
        self._manager.hold(room.conversation_id)
        self._open.setdefault(room, set()).add(seq)
        self._ends.set((room, seq), time.monotonic() + self._timeout)

    def answered(self, room: Room, seq: int) -> None:
        """Note that nothing is awaited for the turn any more; also where nothing was."""
        if seq in self._open.get(room, ()):
            self._open[room].discard(seq)
            if not self._open[room]:
                del self._open[room]
            self._ends.drop((room, seq))
            self._manager.release(room)

    def close(self, room: Room, seq: int) -> None:
        """Want no answer to the turn any more: one that comes all the same is refused."""
        self._closed[room.key, seq] = None
        if len(self._closed) > _MAX_CLOSED:
            self._closed.popitem(last=False)
        self.answered(room, seq)

    def cancel(self, room: Room, message_id: str | None) -> bool:
        """Close the turn that the id answers, or all of the room that are open; False where none is."""
        wanted = None if message_id is None else answered_seq_of(message_id)
        if message_id is not None and wanted is None:
            return False
        found = [seq for seq in self._open.get(room, ()) if wanted in (None, seq)]
        for seq in found:
            self.close(room, seq)
        if found:
            self._typing.stop_ai(room)
        return bool(found)

    def may_come_late(self, room: Room, seq: int) -> bool:
        """Tell whether an answer is wanted to a turn that counts as answered."""
        return self._is_service and (room.key, seq) not in self._closed
