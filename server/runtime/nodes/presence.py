"""Whether a user is online on whatever node."""

import asyncio
from typing import Final

from server.core.envelope import Envelope, Kind, facts_head
from server.ports import BackplaneUnavailable, Registry
from server.runtime.base.clock import now_ms
from server.runtime.nodes.places import Places
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.presence import Presence, UserPresence

_LEAVING: Final = 2.0  # seconds after which all nodes have closed a forgotten user's devices


class NodePresence(Presence):
    """By the registry; while that is away, of this node's devices."""

    def __init__(
        self, manager: ConnectionManager, switchboard: Switchboard, registry: Registry, places: Places
    ) -> None:
        super().__init__(manager)
        self._switchboard = switchboard
        self._registry = registry
        self._places = places
        switchboard.on(Kind.FORGOTTEN, self._heard)

    async def of(self, user_id: str) -> UserPresence:
        places = await self._places.of_user(user_id)
        if places is None:
            return await super().of(user_id)
        if places:
            return UserPresence(len(places), now_ms())
        try:
            return UserPresence(0, await self._registry.last_seen(user_id))
        except BackplaneUnavailable:
            return await super().of(user_id)

    def forget(self, user_id: str) -> None:
        """Have it forgotten on all nodes."""
        super().forget(user_id)
        self._switchboard.publish(ALL_NODES, Kind.FORGOTTEN, facts_head({"user_id": user_id}))
        self._registry.forget_user(user_id)
        asyncio.get_running_loop().call_later(_LEAVING, self._registry.forget_user, user_id)

    def _heard(self, channel: str, envelope: Envelope) -> None:
        super().forget(envelope.facts["user_id"])
