"""Stops answers: those that are written, those that are prepared, and those that a service will give."""

from collections.abc import Awaitable

from server.ports import MessageStore
from server.protocol import answer_id, answered_seq_of
from server.runtime.answers.streams import Streams
from server.runtime.answers.turns import Turns
from server.runtime.base.clock import now_ms
from server.runtime.rooms.room import Room


class Cancellations:
    """`turns` is None where no responder is switched on."""

    def __init__(self, store: MessageStore, streams: Streams, turns: Turns | None) -> None:
        self._store = store
        self._streams = streams
        self._turns = turns

    def cancel(self, room: Room, message_id: str | None) -> Awaitable[bool]:
        """Stop the answer with that id, or all of the room; False where there was nothing to stop.

        What runs here is stopped before this returns. Awaiting raises StoreUnavailable.
        """
        kept = self._streams.answered(room)
        is_prepared = self._turns is not None and self._turns.cancel(room, message_id)
        is_stopped = self._streams.cancel(room, message_id) or is_prepared
        return self._cancel_taken(room, message_id, kept, is_stopped)

    async def _cancel_taken(
        self, room: Room, message_id: str | None, kept: list[int], is_stopped: bool
    ) -> bool:
        """Have the answer to a turn refused when it comes. `kept`: what of it was shown is being saved."""
        seq = None if message_id is None else answered_seq_of(message_id)
        if self._turns is None or (message_id is not None and seq is None):
            return is_stopped
        cancelled = await self._store.cancel_taken(room.key, seq, kept, now_ms())
        for each in cancelled:
            self._streams.tell_aborted(room, answer_id(each))
        return bool(cancelled) or is_stopped
