"""What /stats and /health tell of the nodes and of what connects them."""

from collections.abc import Callable
from typing import Any, Literal

from server.core.timestamps import rfc3339
from server.ports import Backplane, Member
from server.runtime.base.clock import now_ms
from server.runtime.nodes.members import Members

LOCAL = "local"


class NodeFigures:
    """Reads what others own. `backplane` and `members` are None where this node is alone."""

    def __init__(
        self, describe: Callable[[], Member], backplane: Backplane | None, members: Members | None
    ) -> None:
        self._describe = describe
        self._backplane = backplane
        self._members = members

    @property
    def status(self) -> Literal["ok", "unavailable"]:
        """Tell whether other nodes can be heard, where there may be any."""
        return "ok" if self._backplane is None or self._backplane.is_connected else "unavailable"

    def read(self) -> dict[str, Any]:
        """Return the section `backplane`. While the service is away its members are as they were."""
        me = self._describe()
        known = {} if self._members is None else dict(self._members.known)
        alive = {me.node_id} if self._members is None else self._members.alive | {me.node_id}
        rows = [self._row(member, member.node_id in alive) for member in (known | {me.node_id: me}).values()]
        return {
            "backend": LOCAL if self._backplane is None else self._backplane.backend,
            "status": self.status,
            "nodes": len(alive),
            "members": sorted(rows, key=lambda row: str(row["node_id"])),
        }

    @staticmethod
    def _row(member: Member, is_alive: bool) -> dict[str, Any]:
        return {
            "node_id": member.node_id,
            "started_at": rfc3339(member.started_at),
            "connections": member.connections,
            "messages_per_second": member.messages_per_second,
            "status": member.status if is_alive else "down",
            "version": member.version,
            "last_seen": rfc3339(now_ms() - int(member.silent * 1000)),
        }
