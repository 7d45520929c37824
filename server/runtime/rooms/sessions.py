"""Logical sessions: what is kept of a device between two of its connections to a conversation."""

from collections import OrderedDict
from typing import Final, NamedTuple

# Devices that are away and remembered; beyond, the one that left first is forgotten early.
_MAX_AWAY: Final = 20_000


class Session(NamedTuple):
    id: str
    reconnects: int = 0
    resumed: bool = False  # the device brought the id of its session, and keeps it


class Seat(NamedTuple):
    """Names that are given before a device is in: of its connection, and of a session if it begins one."""

    connection_id: str
    session_id: str


class Sessions:
    """By conversation and client_id, for `ttl` seconds after a device left."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._away: OrderedDict[tuple[str, str], tuple[float, Session]] = OrderedDict()

    def open(
        self, conversation_id: str, client_id: str, brought: str | None, new: str, now: float
    ) -> Session:
        """Return the session of a device that connects.

        `brought` is the session_id that it sent, `new` the one that it gets where it keeps none.
        """
        self._forget_old(now)
        left = self._away.pop((conversation_id, client_id), None)
        if left is None:
            return Session(new)
        known = left[1]
        if brought == known.id:
            return Session(known.id, known.reconnects + 1, resumed=True)
        return Session(new, known.reconnects + 1)

    def leave(
        self, conversation_id: str, client_id: str, session_id: str, reconnects: int, now: float
    ) -> None:
        """Note that the device's connection has ended, here or on another node."""
        self._away[(conversation_id, client_id)] = (now, Session(session_id, reconnects))
        if len(self._away) > _MAX_AWAY:
            self._away.popitem(last=False)

    def _forget_old(self, now: float) -> None:
        while self._away:
            left_at, _ = next(iter(self._away.values()))
            if now - left_at <= self._ttl:
                return
            self._away.popitem(last=False)
