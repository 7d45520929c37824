"""How many are in, and whether one more may come."""

from collections import Counter
from typing import Final

from server.core.connection_limits import ConnectionLimits, address_group, over_limit
from server.core.join_request import JoinRequest, Refusal
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection, Room

# Sockets above max_total that are still told 1013 rather than HTTP 503, which no browser shows to a page.
RESERVE: Final = 64


class Visitor:
    """A socket that is no connection yet, or was refused. Implements SocketUser: it hears the peer out."""

    def __init__(self, admission: "Admission", group: str) -> None:
        self._admission = admission
        self._group = group
        self._is_gone = False

    def on_text(self, payload: bytes) -> None: ...

    def on_binary(self, payload: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str = "") -> None:
        self.leave()

    def leave(self) -> None:
        """It counts no longer."""
        if not self._is_gone:
            self._is_gone = True
            self._admission.visitor_left(self._group)


class Admission:
    """Counts connections of each address; those of users, and all, are the manager's to know."""

    def __init__(self, manager: ConnectionManager, places: ConnectionLimits) -> None:
        self._visitors = 0
        self._visitors_of_address: Counter[str] = Counter()
        self._manager = manager
        self._places = places
        self._of_address: Counter[str] = Counter()
        manager.when_left(self._left)

    def receive(self, address: str) -> Visitor | None:
        """A place for a socket that knocks; None when there are too many to be answered one by one.

        One address takes no more places here than among the connections: whoever holds sockets that were
        refused keeps nobody else out.
        """
        if self._manager.current + self._visitors >= self._places.max_total + RESERVE:
            return None
        group = address_group(address)
        self._visitors_of_address[group] += 1
        if self._visitors_of_address[group] <= self._places.max_per_ip:
            self._visitors += 1
        return Visitor(self, group)

    def visitor_left(self, group: str) -> None:
        """To be called once of each Visitor."""
        if self._visitors_of_address[group] <= self._places.max_per_ip:
            self._visitors -= 1
        _count_down(self._visitors_of_address, group)

    def refusal(self, request: JoinRequest, room: Room) -> Refusal | None:
        """Why the device may not come in; the connection that it replaces makes room for it."""
        group = address_group(request.ip)
        old = [c.info for c in room.connections if c.info.client_id == request.client_id]
        replaced = sum([address_group(info.ip) == group for info in old]) if old else 0
        return over_limit(
            self._places,
            self._manager.current - len(old),
            self._of_address[group] - replaced,
            len(self._manager.devices_of(request.user_id)) - len(old),
        )

    def enter(self, connection: Connection) -> None:
        """It is in, until the manager says that it has left."""
        self._of_address[address_group(connection.info.ip)] += 1

    def _left(self, connection: Connection) -> None:
        _count_down(self._of_address, address_group(connection.info.ip))


def _count_down(counts: Counter[str], group: str) -> None:
    counts[group] -= 1
    if not counts[group]:
        del counts[group]
