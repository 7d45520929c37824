"""Which users may have devices on several nodes."""

from server.core.envelope import Envelope, Kind, facts_head
from server.ports import Entered
from server.runtime.nodes.switchboard import Switchboard, node_channel
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection


class Spread:
    """Known from a device's coming: the node that it comes to tells those that have others of the user's."""

    def __init__(self, manager: ConnectionManager, switchboard: Switchboard) -> None:
        self._manager = manager
        self._switchboard = switchboard
        self._users: set[str] = set()  # of those with devices here
        manager.when_left(self._left)
        switchboard.on(Kind.SPREAD, self._heard)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._users

    def came(self, user_id: str, entered: Entered) -> None:
        """Note that a device comes in; one that was here or elsewhere before may have come from there."""
        others = {place.node_id for place in entered.places} - {self._switchboard.node_id}
        if others or entered.replaced or entered.session:
            self._users.add(user_id)
        for node_id in others:
            self._switchboard.publish(node_channel(node_id), Kind.SPREAD, facts_head({"user_id": user_id}))

    def _heard(self, channel: str, envelope: Envelope) -> None:
        if self._manager.devices_of(user_id := envelope.facts["user_id"]):
            self._users.add(user_id)

    def _left(self, connection: Connection) -> None:
        if not self._manager.devices_of(connection.info.user_id):
            self._users.discard(connection.info.user_id)
