"""Nodes on a stage: two or more runtimes in one event loop, on one store and one real Valkey."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.backplane.redis import RedisBackplane
from server.core.rate_limit import RateLimiter
from server.ports import MessageStore
from server.runtime.nodes.members import Members
from tests.support.stage import Stage

NODE_TTL = 0.5


class LossyBackplane(RedisBackplane):
    """Loses what is published while `loses` is set, and does not tell."""

    loses = False

    def publish(self, channel: str, payload: bytes) -> bool:
        return True if self.loses else super().publish(channel, payload)


class StageNode(Stage):
    """One of several nodes. `limit` and `signals` within a minute; `parts`: those of Stage."""

    def __init__(
        self,
        store: MessageStore,
        url: str,
        limit: int | None = None,
        signals: int | None = None,
        **parts: Any,
    ) -> None:
        self.backplane = LossyBackplane(url)
        parts["limiter"] = limit and RateLimiter(limit, 60.0)
        parts["signal_limiter"] = signals and RateLimiter(signals, 60.0)
        super().__init__(store, backplane=self.backplane, **({"node_ttl": NODE_TTL} | parts))

    @property
    def members(self) -> Members:
        """The nodes that this one knows of."""
        assert self.node.cluster is not None
        return self.node.cluster.members


async def die(stage: StageNode) -> None:
    """End a node as a kill would: without a goodbye to the others or to its devices."""
    await stage.background.stop()
    await stage.backplane.close()


@asynccontextmanager
async def nodes(store: MessageStore, *urls: str, **parts: Any) -> AsyncIterator[list[StageNode]]:
    """Run a node for each address of the backplane."""
    stages = [StageNode(store, url, **parts) for url in urls]
    try:
        for stage in stages:
            await stage.node.open()
            stage.node.start()
        yield stages
    finally:
        for stage in stages:
            await stage.node.stop()
