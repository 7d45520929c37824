"""Tells the application's service what users do: once, best effort."""

import asyncio
from typing import Any, Final

import structlog

from server.core.webhooks import event_data
from server.ports import Notifier, ResponderFailed
from server.runtime.answers.gate import Gate
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.base.metrics import Metrics
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()

_MAX_WAITING: Final = 1000  # events; beyond, new ones are dropped
_SENDERS: Final = 4

_Event = tuple[str, dict[str, Any]]


class Events:
    """Sends the events that are `wanted`. While the service is down or deliveries are paused none is sent."""

    def __init__(
        self, notifier: Notifier, gate: Gate, ids: IdMaker, metrics: Metrics, wanted: frozenset[str]
    ) -> None:
        self._notifier = notifier
        self._gate = gate
        self._ids = ids
        self._metrics = metrics
        self._wanted = wanted
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_MAX_WAITING)
        self._online: set[str] = set()  # users
        self._typing: set[Room] = set()

    def listen(self, manager: ConnectionManager, typing: TypingRelay, receipts: Receipts) -> None:
        """Hear of what happens from those who know."""
        if self._wanted & {"user_online", "user_offline"}:
            manager.when_changed(lambda room: self._note_presence(manager, room))
        if "typing" in self._wanted:
            typing.when_changed(lambda room: self._note_typing(room, typing.is_user_typing(room)))
        if "read" in self._wanted:
            receipts.when_read(lambda room, seq: self._add("read", room, seq=seq))

    def start(self, background: Background) -> None:
        """Send from now on."""
        for _ in range(_SENDERS):
            background.run(self._send(), "send-events")

    def _note_presence(self, manager: ConnectionManager, room: Room) -> None:
        assert room.conversation is not None
        user_id = room.conversation.user_id
        is_online = bool(manager.devices_of(user_id)) or bool(room.connections)
        if is_online and user_id not in self._online:
            self._online.add(user_id)
            self._add_change("user_online", room)
        elif not is_online and user_id in self._online:
            self._online.discard(user_id)
            self._add_change("user_offline", room)

    def _add_change(self, event: str, room: Room) -> None:
        """With devices on other nodes, the user was and is online whatever happens here."""
        if not room.elsewhere:
            self._add(event, room)

    def _note_typing(self, room: Room, is_typing: bool) -> None:
        if is_typing != (room in self._typing):
            (self._typing.add if is_typing else self._typing.discard)(room)
            self._add("typing", room, is_typing=is_typing)

    def _add(self, event: str, room: Room, **details: Any) -> None:
        assert room.conversation is not None
        if event in self._wanted and self._gate.is_open and not self._gate.failures:
            try:
                self._waiting.put_nowait((event, event_data(room.conversation) | details))
            except asyncio.QueueFull:
                log.debug("an event was dropped", name=event)

    async def _send(self) -> None:
        while True:
            event, data = await self._waiting.get()
            try:
                await self._notifier.notify(event, data, f"event_{self._ids.new()}".replace(".", "_"))
            except ResponderFailed as failed:
                self._metrics.ai_failures[failed.kind] += 1
                log.info("an event was not taken", name=event, error=str(failed))
