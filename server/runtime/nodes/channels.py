"""Which conversations this node listens to: those of which it has devices, or had a moment ago."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from server.ports import BackplaneUnavailable, Channels, MessageStore
from server.runtime.base.background import Background
from server.runtime.base.timers import Timers
from server.runtime.nodes.switchboard import conversation_channel
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

_LINGER: Final = 10.0  # seconds for which a conversation without devices is listened to: most come back
_BOUND: Final = 1.0  # seconds for which a join waits for the backplane


@dataclass(slots=True)
class _Listening:
    """`opening` ends when what is published is heard; `read` is the room if it was read of since."""

    opening: "asyncio.Task[None]"
    is_heard: bool = False
    read: Room | None = None


class RoomChannels:
    """Whoever comes into a room hears all that is saved from its newest seq on."""

    def __init__(
        self,
        channels: Channels,
        manager: ConnectionManager,
        store: MessageStore,
        background: Background,
    ) -> None:
        self._channels = channels
        self._manager = manager
        self._store = store
        self._background = background
        self._listening: dict[str, _Listening] = {}  # by conversation
        self._lingering: Timers[str] = Timers(self._leave)
        self._on_heard: list[Callable[[Room], None]] = []
        self._on_unheard: list[Callable[[str], None]] = []
        manager.when_changed(self._changed)

    def when_heard(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called with each room whose channel has just begun to be heard."""
        self._on_heard.append(tell)

    def when_unheard(self, tell: Callable[[str], None]) -> None:
        """From now on `tell` is called with each conversation that is not listened to any more."""
        self._on_unheard.append(tell)

    def is_heard(self, conversation_id: str) -> bool:
        """Whether it is known here what other nodes have of the conversation."""
        found = self._listening.get(conversation_id)
        return found is not None and found.is_heard

    async def listen(self, room: Room) -> None:
        """Subscribes the channel of a held room, before the store is asked how far the conversation is.

        A backplane that does not answer holds nobody up: once it does, the room is looked after.
        """
        id = room.conversation_id
        self._lingering.set(id, time.monotonic() + _LINGER)
        listening = self._listening.get(id)
        if listening is None:
            task = self._background.run(self._open(id), "listen")
            listening = self._listening[id] = _Listening(task)
        if not listening.is_heard:
            await asyncio.wait([listening.opening], timeout=_BOUND)

    async def newest(self, room: Room, known: int) -> int:
        """Return the newest seq of an open room, read since its channel is heard.

        `known`: to a device that comes. Where that is more than is known here, messages were lost on their
        way, and the store is asked: otherwise it would look as if the log had been replaced.
        Raises StoreUnavailable.
        """
        listening = self._listening.get(room.conversation_id)
        if known <= room.last_seq and (listening is None or listening.read is room):
            return room.last_seq
        heads = await self._store.heads([room.key])
        self.note_read(room)
        return heads.get(room.key, room.last_seq)

    def note_read(self, room: Room) -> None:
        """Note that the store told of the room after its channel was heard."""
        listening = self._listening.get(room.conversation_id)
        if listening is not None and listening.is_heard:
            listening.read = room

    def doubt_all(self) -> None:
        """Forget how far rooms have got: what was published is lost."""
        for listening in self._listening.values():
            listening.read = None

    async def _open(self, conversation_id: str) -> None:
        """Ends when the channel is heard, or with the backplane; then it is heard once that is back."""
        with suppress(BackplaneUnavailable):
            await self._channels.subscribe(conversation_channel(conversation_id))
        listening = self._listening.get(conversation_id)
        if listening is None:
            return
        listening.is_heard = True
        if (room := self._manager.room(conversation_id)) is not None:
            for tell in self._on_heard:
                tell(room)

    def _changed(self, room: Room) -> None:
        if not room.connections:
            self._lingering.set(room.conversation_id, time.monotonic() + _LINGER)

    def _leave(self, conversation_id: str) -> None:
        if self._manager.room(conversation_id) is not None:  # somebody is in it, or writes to it
            self._lingering.set(conversation_id, time.monotonic() + _LINGER)
        elif conversation_id in self._listening:
            del self._listening[conversation_id]
            self._channels.unsubscribe(conversation_channel(conversation_id))
            for tell in self._on_unheard:
                tell(conversation_id)
