"""Typing indicators of devices on all nodes, and of AIs that whatever node speaks for."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from server.protocol import MessageType
from server.runtime.base.timers import Timers
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room
from server.runtime.signals.typing import TypingRelay

# The typist's own node ends it first, and tells.
_LONGER: Final = 1.0  # seconds
_Typist = tuple[Room, str]  # and its connection, on another node


class NodeTyping(TypingRelay):
    """A typist whose node has died, or whose end was lost on its way, falls silent all the same."""

    def __init__(
        self, manager: ConnectionManager, fan_out: NodeFanOut, timeout: float, ai_timeout: float
    ) -> None:
        super().__init__(manager, fan_out, timeout, ai_timeout)
        self._elsewhere: Timers[_Typist] = Timers(self._falls_silent_elsewhere)
        self._typists: Counter[Room] = Counter()  # how many of them
        self._on_change_elsewhere: list[Callable[[Room], None]] = []
        fan_out.when_signalled(self._heard)
        fan_out.when_answered(self._answered)

    def when_changed_anywhere(self, tell: Callable[[Room], None]) -> None:
        super().when_changed_anywhere(tell)
        self._on_change_elsewhere.append(tell)

    def is_user_typing(self, room: Room) -> bool:
        return room in self._typists or super().is_user_typing(room)

    def _heard(self, room: Room, signal: dict[str, Any]) -> None:
        if signal["type"] != MessageType.TYPING_INDICATOR or room.conversation is None:
            return
        is_typing, (_, typist) = signal["data"]["is_typing"], signal["key"]
        if typist == room.ai_id:
            self._note_ai(room, is_typing)
        else:
            self._note_user((room, typist), is_typing)

    def _note_ai(self, room: Room, is_typing: bool) -> None:
        if is_typing:
            self._ais.set(room, time.monotonic() + self._ai_timeout + _LONGER)
        else:
            self._ais.drop(room)

    def _note_user(self, typist: _Typist, is_typing: bool) -> None:
        if is_typing:
            self._typists[typist[0]] += typist not in self._elsewhere
            self._elsewhere.set(typist, time.monotonic() + self._timeout + _LONGER)
        elif self._elsewhere.drop(typist):
            self._count_down(typist[0])
        for tell in self._on_change_elsewhere:
            tell(typist[0])

    def _falls_silent_elsewhere(self, typist: _Typist) -> None:
        """Nothing was heard of its end: the devices here are told."""
        room, connection_id = typist
        self._count_down(room)
        if room.conversation is not None:
            self._tell_here(room, room.conversation.user_id, connection_id)
        for tell in self._on_change_elsewhere:
            tell(room)

    def _count_down(self, room: Room) -> None:
        self._typists[room] -= 1
        if not self._typists[room]:
            del self._typists[room]

    def _answered(self, room: Room) -> None:
        """An answer comes from another node, which need not know that the AI is shown typing here."""
        if self._ais.drop(room):
            self._tell_here(room, room.ai_id, room.ai_id)

    def _tell_here(self, room: Room, sender: str, typist: str) -> None:
        """Say that the typist has stopped."""
        kind = MessageType.TYPING_INDICATOR
        data = {"is_typing": False}
        self._fan_out.signal(room, kind, data, sender, key=(kind, typist), to=room.connections)
