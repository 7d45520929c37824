"""Which nodes there are: each tells every second that it is alive, and hears who else is."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from server.ports import BackplaneUnavailable, Beat, Member, Registry

log = structlog.get_logger()

_BEATS_PER_TTL: Final = 5  # so that some may come late


class Members:
    """`node_ttl`: seconds of silence after which a node counts as gone.

    While the backplane is away nothing is known: nobody is taken to be gone who was not before. Nor is
    anybody until `node_ttl` after it came back, forgot, or this node stood still: the others may not have
    had a chance to be heard yet.
    """

    def __init__(
        self,
        registry: Registry,
        node_ttl: float,
        describe: Callable[[], Member],
    ) -> None:
        self._registry = registry
        self._node_ttl = node_ttl
        self._pause = min(1.0, node_ttl / _BEATS_PER_TTL)
        self._describe = describe
        self._known: dict[str, Member] = {}
        self._alive: frozenset[str] = frozenset()
        self._beaten = time.monotonic()  # the last time that this node was heard
        self._judges_from = self._beaten  # from then on, who is not heard is gone
        self._on_gone: list[Callable[[str], None]] = []
        self._on_lost: list[Callable[[], None]] = []
        self._on_woken: list[Callable[[], None]] = []
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

    def when_woken(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when this node was stopped for longer than `node_ttl`."""
        self._on_woken.append(tell)

    async def watch(self) -> None:
        """Finds out that this node was stopped, until cancelled."""
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(self._pause)
            if time.monotonic() - asleep >= self._node_ttl:
                for tell in self._on_woken:
                    tell()

    async def run(self) -> None:
        """Beats until cancelled."""
        while True:
            with suppress(BackplaneUnavailable, TimeoutError):
                async with asyncio.timeout(self._node_ttl):
                    self._take(await self._registry.beat(self._describe()), time.monotonic())
            await asyncio.sleep(self._pause)

    def _take(self, beat: Beat, now: float) -> None:
        pause, self._beaten = now - self._beaten, now
        if pause > self._node_ttl / 2 or not beat.was_known:
            self._judges_from = now + self._node_ttl
        heard = frozenset(m.node_id for m in beat.members if m.silent < self._node_ttl)
        gone = self._alive - heard if now >= self._judges_from else frozenset[str]()
        back = self._gone & heard
        self._gone = (self._gone | gone) - heard
        self._alive = (self._alive | heard) - gone
        self._remember(beat)
        if pause >= self._node_ttl or back or not beat.was_known:
            for tell_lost in self._on_lost:
                tell_lost()
        for node_id in gone:
            if node_id in self._known:
                log.warning("a node is gone", node_id=node_id)
            else:
                log.info("a node has left", node_id=node_id)
            for tell in self._on_gone:
                tell(node_id)

    def _remember(self, beat: Beat) -> None:
        """Those that still count as alive are known, though the registry has forgotten them."""
        kept = {node_id: self._known[node_id] for node_id in self._alive if node_id in self._known}
        self._known = kept | {member.node_id: member for member in beat.members}
