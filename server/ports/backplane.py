"""Declares the backplane: how the nodes of a cluster hear of each other, and what they know in common.

It hurries, the store decides: whatever is lost here costs latency and counters, never a message. A node
that is alone has none.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol


class BackplaneUnavailable(Exception):
    """The service is away or did not answer in time; whether it did what was asked of it is not known."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node as it tells of itself at each beat.

    `started_at`: milliseconds since the epoch. `silent`: seconds since its last beat, by the service's clock.
    """

    node_id: str
    started_at: int
    connections: int
    messages_per_second: float
    status: str
    version: str
    silent: float = 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node learns by its beat.

    `members`: all nodes that were heard within the last hour and did not say goodbye, this one among them,
    in the order of their ids. `was_known`: this node's last beat was still there; otherwise the service
    has lost what it held (or this node was silent for more than an hour): restore all places.
    """

    members: tuple[Member, ...]
    was_known: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device is connected; in each conversation a client_id has one place at most.

    `session_id`, `reconnects`: its logical session. `generation`: given by `enter`, higher than that of
    whoever had the place before.
    """

    user_id: str
    conversation_id: str
    client_id: str
    node_id: str
    connection_id: str
    session_id: str = ""
    reconnects: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class LeftSession:
    """What is kept of a device between two of its connections to a conversation."""

    session_id: str
    reconnects: int


@dataclass(frozen=True, slots=True)
class Entered:
    """What a device that comes has to know.

    `generation`: this place's. `replaced`: the place that it took, on whatever node, dead ones included.
    `session`: what was left behind by it on whatever node, where nobody was replaced. `places`: all of the
    user's devices now, in all conversations, this one among them, those of dead nodes included.
    """

    generation: int
    replaced: Place | None
    session: LeftSession | None
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """A sliding window: never more than `most` in any `window` seconds. `kind` is its name."""

    kind: str
    most: int
    window: float


class BackplaneListener(Protocol):
    """Whoever uses the backplane. All methods are called on the event loop; none may raise."""

    def received(self, channel: str, payload: bytes) -> None:
        """Take what was published on a channel that this node subscribes to, its own messages included.

        From one node on one channel they come in the order in which they were published.
        """
        ...

    def came_back(self) -> None:
        """Note that the service is there, for the first time or again, and all channels are subscribed.

        What was published meanwhile is lost, and so may be what the registry held.
        """
        ...

    def went_away(self) -> None:
        """Note that the connection is lost. Channels stay subscribed as soon as it is back."""
        ...


class Channels(Protocol):
    """Messages to other nodes: at most once, to those who listen at that moment."""

    async def subscribe(self, channel: str) -> None:
        """Returns when what is published from now on is heard.

        Raises BackplaneUnavailable while the service is away; the channel is subscribed all the same as
        soon as it is there. May be called again for the same channel, and be cancelled: the subscription
        stays until `unsubscribe`.
        """
        ...

    def unsubscribe(self, channel: str) -> None:
        """Ends the subscription. What is on its way may still be received."""
        ...

    def publish(self, channel: str, payload: bytes) -> bool:
        """Queues a message; all of one turn of the event loop leave in one write.

        False where it cannot be sent. True promises nothing: what is lost shows itself by `went_away`.
        """
        ...


class Registry(Protocol):
    """What the nodes know in common. Every entry has a time to live, or is renewed by a node.

    Commands are queued when the method is called, leave with the turn's messages in one write, and are
    done in the order of their calls. What is awaited raises BackplaneUnavailable; it may take as long as
    a few seconds to do so.
    """

    def beat(self, me: Member) -> Awaitable[Beat]:
        """Tells that this node is alive, and who else is; to be called each second."""
        ...

    def depart(self, node_id: str) -> None:
        """Says goodbye: the node is no member any more. Its places are to be left one by one before."""
        ...

    def enter(self, place: Place) -> Awaitable[Entered]:
        """Gives a device its place, and takes it from whoever has it. `place.generation` is ignored."""
        ...

    def leave(self, place: Place, session_ttl: float) -> None:
        """Frees the place if it is still this one's (generation), and keeps its session for that long."""
        ...

    def restore(self, places: Sequence[Place]) -> Awaitable[list[Place]]:
        """Puts the places back, or renews them, in one go (some hundreds at most).

        Returns those that lost: their client_id has a place of a higher generation, on whatever node.
        To be called for all after `came_back` and when a beat was not known, and for each every 20
        minutes: what nobody renews for an hour is forgotten.
        """
        ...

    def forget(self, places: Sequence[Place]) -> None:
        """Removes places of nodes that are gone, unless they were taken since (generation)."""
        ...

    def places_of(self, user_id: str) -> Awaitable[tuple[Place, ...]]:
        """Finds the user's devices in all conversations, those of dead nodes included."""
        ...

    def last_seen(self, user_id: str) -> Awaitable[int | None]:
        """Tells when the user's last device left, in ms since the epoch; None if not within 30 days."""
        ...

    def forget_user(self, user_id: str) -> None:
        """Removes everything about a user, places excepted: those go with their connections."""
        ...

    def count(self, rate: Rate, user_id: str) -> "asyncio.Future[float | None]":
        """Counts one message, and gives None; or the seconds until one more fits, and counts nothing."""
        ...

    def refund(self, rate: Rate, user_id: str) -> None:
        """Takes the newest count back: it turned out to cost nothing."""
        ...

    def set_ai_status(self, ai_id: str, status: str | None) -> None:
        """Keeps the AI's status, None forgets it; all of them for an hour after the last node's beat."""
        ...

    def ai_statuses(self) -> Awaitable[dict[str, str]]:
        """Reads the statuses of all AIs, by their ids."""
        ...

    def take(self, lease: str, holder: str, seconds: float) -> Awaitable[bool]:
        """Takes a lease that is free, or renews the holder's own. False: somebody else has it."""
        ...

    def release(self, lease: str, holder: str) -> None:
        """Gives the lease back, if it is still the holder's."""
        ...


class Backplane(Channels, Registry, Protocol):
    """One service for both."""

    @property
    def backend(self) -> str:
        """Its name, as /stats tells it."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether messages get through, as far as is known."""
        ...

    async def open(self, listener: BackplaneListener) -> None:
        """Returns after the first try to connect, however it ended; goes on trying until `close`."""
        ...

    async def close(self) -> None:
        """Sends what is queued, and disconnects. `went_away` is not called."""
        ...
