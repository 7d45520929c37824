"""Which nodes there are: each tells every second that it is alive, and hears who else is."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from server.ports import BackplaneUnavailable, Beat, Member, Registry

log = structlog.get_logger()

_BEATS_PER_TTL: Final = 5  # so that some may come late


class Members:
    """`node_ttl`: seconds of silence after which a node counts as gone.

    While the backplane is away nothing is known: nobody is taken to be gone who was not before.
    """

    def __init__(
        self,
        registry: Registry,
        node_ttl: float,
        describe: Callable[[], Member],
    ) -> None:
        self._registry = registry
        self._node_ttl = node_ttl
        self._describe = describe
        self._known: dict[str, Member] = {}
        self._alive: frozenset[str] = frozenset()
        self._on_gone: list[Callable[[str], None]] = []
        self._on_lost: list[Callable[[], None]] = []
        self._gone: set[str] = set()

    @property
    def known(self) -> Mapping[str, Member]:
        """All that were heard within the last hour and did not say goodbye, by their ids."""
        return self._known

    @property
    def alive(self) -> frozenset[str]:
        """The ids of those that were heard within `node_ttl`, this one among them once it was heard."""
        return self._alive

    def living(self) -> list[Member]:
        """Return those that are alive, as they last told of themselves."""
        return [self._known[node_id] for node_id in self._alive]

    def is_alive(self, node_id: str) -> bool:
        """Tell of a node of which one has just heard, too: it may be younger than the last beat."""
        return node_id in self._alive or node_id not in self._known

    def when_gone(self, tell: Callable[[str], None]) -> None:
        """From now on `tell` is called with the id of each node that has fallen silent or said goodbye."""
        self._on_gone.append(tell)

    def when_lost(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when nodes may have lost sight of each other.

        This one was stopped for longer than `node_ttl`, the registry has forgotten it, or another one that
        was taken to be gone is back.
        """
        self._on_lost.append(tell)

    async def run(self) -> None:
        """Beats until cancelled."""
        pause, beaten = min(1.0, self._node_ttl / _BEATS_PER_TTL), time.monotonic()
        while True:
            now = time.monotonic()
            was_away, beaten = now - beaten >= self._node_ttl, now
            try:
                async with asyncio.timeout(self._node_ttl):
                    beat = await self._registry.beat(self._describe())
            except (BackplaneUnavailable, TimeoutError):
                pass
            else:
                self._take(beat, was_away)
            await asyncio.sleep(pause)

    def _take(self, beat: Beat, was_away: bool) -> None:
        self._known = {member.node_id: member for member in beat.members}
        alive = frozenset(m.node_id for m in beat.members if m.silent < self._node_ttl)
        gone, self._alive = self._alive - alive, alive
        back = self._gone & alive
        self._gone = (self._gone | gone) - alive
        if was_away or back or not beat.was_known:
            for tell_lost in self._on_lost:
                tell_lost()
        for node_id in gone:
            log.warning("a node is gone", node_id=node_id)
            for tell in self._on_gone:
                tell(node_id)
