"""The AIs' statuses, the same on all nodes."""

import asyncio
from typing import Final

from server.core.envelope import Envelope, Kind, facts_head
from server.ports import BackplaneUnavailable, Registry
from server.runtime.base.background import Background
from server.runtime.nodes.members import Members
from server.runtime.nodes.requests import Facts, NoAnswer, Requests
from server.runtime.nodes.switchboard import ALL_NODES, Switchboard
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.signals.ai_status import AIStatus, AIStatuses

_BOUND: Final = 1.0  # seconds for which the other nodes are waited for
_COUNT: Final = "count-devices-of-ai"


class NodeAIStatuses(AIStatuses):
    """Kept by every node, and by the registry for those that come later."""

    def __init__(
        self,
        manager: ConnectionManager,
        fan_out: FanOut,
        background: Background,
        switchboard: Switchboard,
        registry: Registry,
        members: Members,
        requests: Requests,
    ) -> None:
        super().__init__(manager, fan_out, background)
        self._switchboard = switchboard
        self._registry = registry
        self._members = members
        self._requests = requests
        requests.serve(_COUNT, self._count)
        switchboard.on(Kind.AI_STATUS, self._heard)
        switchboard.when_back(self._came_back)

    def set(self, ai_id: str, status: AIStatus) -> None:
        self._registry.set_ai_status(ai_id, status)
        facts = {"ai_id": ai_id, "status": status}
        self._switchboard.publish(ALL_NODES, Kind.AI_STATUS, facts_head(facts))
        super().set(ai_id, status)

    async def devices(self, ai_id: str) -> int:
        """Counts those of all nodes that answer."""
        others = self._members.alive - {self._switchboard.node_id}
        counts = await asyncio.gather(*(self._ask(node_id, ai_id) for node_id in others))
        return self._devices_here(ai_id) + sum(counts)

    async def _ask(self, node_id: str, ai_id: str) -> int:
        try:
            answer = await self._requests.ask(node_id, _COUNT, {"ai_id": ai_id}, _BOUND)
        except NoAnswer:
            return 0
        return int(answer["devices"])

    async def _count(self, asked: Facts) -> Facts:
        return {"devices": self._devices_here(asked["ai_id"])}

    def _heard(self, channel: str, envelope: Envelope) -> None:
        super().set(**envelope.facts)

    def _came_back(self) -> None:
        self._background.run(self._read(), "read-ai-statuses")

    async def _read(self) -> None:
        """Takes what the registry knows, and puts there what it has forgotten."""
        try:
            found = await self._registry.ai_statuses()
        except BackplaneUnavailable:
            return
        for ai_id, status in self._statuses.items() - found.items():
            if ai_id not in found:
                self._registry.set_ai_status(ai_id, status)
        for ai_id, known in found.items():
            if self.of(ai_id) != known:
                super().set(ai_id, known)  # type: ignore[arg-type]  # what `set` of another node put there
