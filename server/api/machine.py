"""The workers of one machine seen as one server: each asks the others over Unix sockets of their own."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
from fastapi import APIRouter

from server.api.health import Condition, Health
from server.api.merging import merge_health, merge_lists, merge_stats
from server.api.operations import Drain, Draining, DrainRequest
from server.api.stats import Limit, ListName
from server.api.status import OwnStatus

# A worker that takes longer is stuck, or just being started again.
_ANSWER_SECONDS: Final = 1.0
_KEPT_SECONDS: Final = 2.0  # for which an idle connection is used again


class Siblings:
    """The other workers of this machine."""

    def __init__(self, sockets: Sequence[Path]) -> None:
        self._clients = [
            httpx2.AsyncClient(
                transport=httpx2.AsyncHTTPTransport(
                    uds=str(socket), limits=httpx2.Limits(keepalive_expiry=_KEPT_SECONDS)
                ),
                base_url="http://worker",
                timeout=None,
            )
            for socket in sockets
        ]

    @property
    def count(self) -> int:
        """How many there are, this one not counted."""
        return len(self._clients)

    async def close(self) -> None:
        """End the connections."""
        for client in self._clients:
            await client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> list[Any]:
        """Ask all at once; the JSON that each answers, None where there was no answer in time."""
        return await asyncio.gather(*(_ask(client, method, path, body) for client in self._clients))


async def _ask(client: httpx2.AsyncClient, method: str, path: str, body: Any) -> Any:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            response = await client.request(method, path, json=body)
        return response.raise_for_status().json()
    except (httpx2.HTTPError, TimeoutError, ValueError):
        return None


class MachineHealth:
    """The worst of all workers."""

    def __init__(self, own: Condition, siblings: Siblings) -> None:
        self._own = own
        self._siblings = siblings

    @property
    def version(self) -> str:
        """The server's."""
        return self._own.version

    async def health(self) -> Health:
        """Return the body of GET /health."""
        own, others = await asyncio.gather(self._own.health(), self._siblings.ask("GET", "/health"))
        return merge_health(own, [None if it is None else Health.model_validate(it) for it in others])


class MachineStats:
    """The figures of all workers that answer."""

    def __init__(self, own: OwnStatus, siblings: Siblings) -> None:
        self._own = own.stats
        self._siblings = siblings

    async def document(self) -> dict[str, Any]:
        """Return the body of GET /stats. The process that it names is the one that ends all."""
        own, others = await asyncio.gather(self._own.parts(), self._siblings.ask("GET", "/parts"))
        found = [part for part in others if part is not None]
        document = merge_stats([own, *found], all_there=len(found) == len(others))
        document["server"]["pid"] = os.getppid()
        return document

    async def listed(self, name: ListName, limit: int) -> dict[str, Any]:
        """Return the body of GET /stats/{name}."""
        path = f"/stats/{name}?limit={limit}"
        own, others = await asyncio.gather(self._own.listed(name, limit), self._siblings.ask("GET", path))
        return merge_lists(name, [own, *(each for each in others if each is not None)], limit)


class MachineDrain:
    """Empties all workers. One that is just being started again takes connections when it is there."""

    def __init__(self, own: Drain, siblings: Siblings) -> None:
        self._own = own
        self._siblings = siblings

    async def begin(self, per_second: int) -> Draining:
        """Close so many connections a second on all of the machine."""
        share = max(1, per_second // (self._siblings.count + 1))
        own = await self._own.begin(share)
        others = await self._siblings.ask("POST", "/drain", {"per_second": share})
        return Draining(connections=own.connections + sum(it["connections"] for it in others if it))

    async def undo(self) -> None:
        """Take connections again. Raises ApiError once the process is about to end."""
        await self._own.undo()
        await self._siblings.ask("DELETE", "/drain")


class MachineStatus:
    """What the shared port tells and does."""

    def __init__(self, own: OwnStatus, siblings: Siblings) -> None:
        self.health = MachineHealth(own.health, siblings)
        self.stats = MachineStats(own, siblings)
        self.drain = MachineDrain(own.drain, siblings)


def sibling_router(own: OwnStatus) -> APIRouter:
    """Answer what siblings ask, on a socket that only they reach."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Health:
        return await own.health.health()

    @router.get("/parts")
    async def parts() -> dict[str, Any]:
        return await own.stats.parts()

    @router.get("/stats/{name}")
    async def listed(name: ListName, limit: Limit) -> dict[str, Any]:
        return await own.stats.listed(name, limit)

    @router.post("/drain")
    async def drain(request: DrainRequest) -> Draining:
        return await own.drain.begin(request.per_second)

    @router.delete("/drain")
    async def undo() -> None:
        await own.drain.undo()

    return router
