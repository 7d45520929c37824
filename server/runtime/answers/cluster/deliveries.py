"""What the application's service is told apart from turns: by one node at a time."""

import asyncio
from typing import Any, Final

from server.runtime.answers.cluster.shared import Shared
from server.runtime.answers.news import UndeliveredNews
from server.runtime.answers.replays import Replays

_AGAIN: Final = 1.0  # seconds until one looks again at what another node does
_NEWS: Final = "undelivered"
_REPLAYS: Final = "replays"


class NodeReplays(Replays):
    """Every node hears of a replay; one sends."""

    def __init__(self, *parts: Any, shared: Shared) -> None:
        """`parts`: those of Replays."""
        super().__init__(*parts)
        self._leases = shared.leases

    async def _send_all(self) -> None:
        async with self._leases.kept(_REPLAYS) as is_ours:
            if is_ours:
                await super()._send_all()


class NodeNews(UndeliveredNews):
    """What a node that died has left to tell, another one tells."""

    def __init__(self, *parts: Any, shared: Shared) -> None:
        """`parts`: those of UndeliveredNews."""
        super().__init__(*parts)
        self._leases = shared.leases
        shared.cluster.members.when_gone(lambda node_id: self.wake())

    async def _tell_all(self) -> None:
        while True:
            async with self._leases.kept(_NEWS) as is_ours:
                if is_ours:
                    await super()._tell_all()
                    return
            await asyncio.sleep(_AGAIN)
