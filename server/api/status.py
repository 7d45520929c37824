"""How the server is, and how it is emptied: of one process, or of all workers of a machine."""

from dataclasses import dataclass
from typing import Protocol

from server.api.health import Condition, HealthCheck
from server.api.operations import Drain, NodeDrain
from server.api.stats import Statistics, Stats


class Status(Protocol):
    """What the routes tell and do."""

    @property
    def health(self) -> Condition:
        """What GET /health tells."""
        ...

    @property
    def stats(self) -> Statistics:
        """What GET /stats, its lists and /metrics tell."""
        ...

    @property
    def drain(self) -> Drain:
        """What /api/drain does."""
        ...


@dataclass(frozen=True)
class OwnStatus:
    """This process's own."""

    health: HealthCheck
    stats: Stats
    drain: NodeDrain
