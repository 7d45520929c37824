"""Nodes at a real backplane, as tests see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.backplane.redis import RedisBackplane
from server.ports import Member, Place


class Heard:
    """A listener that remembers: `messages` as (channel, payload), `events` as "back" and "away"."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.events: list[str] = []

    def received(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))

    def came_back(self) -> None:
        self.events.append("back")

    def went_away(self) -> None:
        self.events.append("away")

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]


@asynccontextmanager
async def backplane(url: str, heard: Heard | None = None) -> AsyncIterator[RedisBackplane]:
    """Open one until the end of the context."""
    opened = RedisBackplane(url)
    await opened.open(heard or Heard())
    try:
        yield opened
    finally:
        await opened.close()


def place(connection_id: str, node_id: str = "n1", client_id: str = "phone", user_id: str = "ann") -> Place:
    """A device in the conversation `c-` and its user."""
    session_id = f"session-of-{connection_id}"
    return Place(user_id, f"c-{user_id}", client_id, node_id, connection_id, session_id, 2)


def member(node_id: str, connections: int = 0) -> Member:
    return Member(node_id, 1_700_000_000_000, connections, 1.5, "ok", "1.2.3")
