"""Whether a user is online, and when one who is not was last here."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from server.runtime.base.clock import now_ms
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection

_MAX_REMEMBERED: Final = 50_000  # users who are away; beyond, the one who left first is forgotten


class UserPresence(NamedTuple):
    """`last_seen` in milliseconds since the epoch; None of a user who was not seen since the start."""

    devices: int
    last_seen: int | None


class Presence:
    """Real presence: a user is online while a device is connected."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager = manager
        self._left: OrderedDict[str, int] = OrderedDict()
        self._on_forgotten: Callable[[str], None] = lambda user_id: None
        manager.when_left(self._note)

    async def of(self, user_id: str) -> UserPresence:
        """Tells of one user; who is online is seen now."""
        devices = len(self._manager.devices_of(user_id))
        return UserPresence(devices, now_ms() if devices else self._left.get(user_id))

    def when_forgotten(self, tell: Callable[[str], None]) -> None:
        """From now on `tell` is called with each user of whom nothing is to be kept."""
        self._on_forgotten = tell

    def forget(self, user_id: str) -> None:
        """Know nothing of the user any more."""
        self._left.pop(user_id, None)
        self._on_forgotten(user_id)

    def _note(self, connection: Connection) -> None:
        user_id = connection.info.user_id
        self._left[user_id] = now_ms()
        self._left.move_to_end(user_id)
        if len(self._left) > _MAX_REMEMBERED:
            self._left.popitem(last=False)
