"""The places of this node's devices: in each conversation a client_id has one, on whatever node."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from server.core.envelope import Envelope, Kind, facts_head
from server.core.join_request import JoinRequest, Refusal
from server.ports import BackplaneUnavailable, Entered, LeftSession, Place, Registry
from server.protocol.closing import CONNECTED_AGAIN
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.nodes.members import Members
from server.runtime.nodes.requests import Facts, NoAnswer, Requests
from server.runtime.nodes.switchboard import Switchboard, conversation_channel, conversation_of
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Connection
from server.runtime.rooms.sessions import Seat, Sessions

log = structlog.get_logger()

_BOUND: Final = 1.0  # seconds for which a join waits for the registry
_CLOSE_SECONDS: Final = 2.0  # for the node that has the device: one that is dead or stopped holds up nobody
_RENEW_SECONDS: Final = 1200.0  # what nobody renews for an hour is forgotten
_TAKEN: Final = Refusal(*CONNECTED_AGAIN, "replaced")


class _Arrival:
    """A device on its way in.

    `is_known`: the registry gave it its place. `is_over`: it is in, or will not come, and whom it replaced
    is gone.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_known = False
        self.is_replaced = False
        self.is_over = asyncio.Event()


class Places:
    """Keeps what the registry says of this node's devices true. `session_ttl` in seconds."""

    def __init__(
        self,
        registry: Registry,
        manager: ConnectionManager,
        sessions: Sessions,
        members: Members,
        requests: Requests,
        switchboard: Switchboard,
        background: Background,
        session_ttl: float,
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._sessions = sessions
        self._members = members
        self._requests = requests
        self._background = background
        self._switchboard = switchboard
        self._node_id = switchboard.node_id
        self._session_ttl = session_ttl
        self._places: dict[str, Place] = {}  # by connection_id
        self._unasked: set[str] = set()  # those of them that the registry did not give
        self._arrivals: dict[str, _Arrival] = {}  # likewise
        self._on_gave_up: Callable[[str], None] = lambda conversation_id: None
        manager.when_left(self._left)
        members.when_lost(self.restore_all)
        requests.serve("replace", self._replace)
        switchboard.on(Kind.TAKEN, self._heard_taken)

    def when_gave_up(self, tell: Callable[[str], None]) -> None:
        """From now on `tell` is called with the conversation where a place was taken by nobody in the end."""
        self._on_gave_up = tell

    def alive(self, places: Iterable[Place]) -> list[Place]:
        """Return those that are not of dead nodes, which are forgotten."""
        alive, dead = list[Place](), list[Place]()
        for place in places:
            (alive if self._members.is_alive(place.node_id) else dead).append(place)
        if dead:
            self._registry.forget(dead)
        return alive

    async def of_user(self, user_id: str) -> list[Place] | None:
        """Finds the user's devices on all nodes; None where the registry does not tell."""
        try:
            async with asyncio.timeout(_BOUND):
                return self.alive(await self._registry.places_of(user_id))
        except (BackplaneUnavailable, TimeoutError):
            return None

    # ---- coming in --------------------------------------------------------------------------------

    async def take(self, request: JoinRequest, seat: Seat) -> Entered | Refusal | None:
        """Takes the place, and waits until whoever had it is gone; None where the registry is away.

        Refuses a device that was replaced meanwhile. Afterwards `came_in` or `gave_up`.
        """
        place = Place(
            request.user_id,
            request.conversation_id,
            request.client_id or seat.connection_id,
            self._node_id,
            seat.connection_id,
            request.session_id or seat.session_id,
            generation=time.time_ns() // 1000,  # as the registry counts: where it is away, the newest stays
        )
        arrival = self._arrivals[seat.connection_id] = _Arrival(place)
        try:
            entered = await self._enter(arrival)
            if entered is not None:
                self._remember(place, await self._succeed(entered))
        except BaseException:
            self.gave_up(seat)
            raise
        if arrival.is_replaced:
            self.gave_up(seat)
            return _TAKEN
        return entered

    def came_in(self, connection: Connection) -> None:
        """Note that the device is there."""
        id = connection.info.connection_id
        arrival = self._arrivals.pop(id)
        self._places[id] = arrival.place
        if not arrival.is_known:
            self._unasked.add(id)
        arrival.is_over.set()

    def gave_up(self, seat: Seat) -> None:
        """Free the place of a device that did not come in."""
        arrival = self._arrivals.pop(seat.connection_id)
        arrival.is_over.set()
        self._registry.leave(arrival.place, self._session_ttl)
        self._on_gave_up(arrival.place.conversation_id)

    async def _enter(self, arrival: _Arrival) -> Entered | None:
        entered = asyncio.ensure_future(self._registry.enter(arrival.place))
        try:
            await asyncio.wait([entered], timeout=_BOUND)
        finally:
            if not entered.done():
                self._background.run(self._come_late(arrival, entered), "enter-late")
        if not entered.done():
            return None
        try:
            found = entered.result()
        except BackplaneUnavailable:
            return None
        arrival.place = dataclasses.replace(arrival.place, generation=found.generation)
        arrival.is_known = True
        return found

    async def _come_late(self, arrival: _Arrival, entered: Awaitable[Entered]) -> None:
        """Makes good what the join did not wait for."""
        try:
            found = await entered
        except BackplaneUnavailable:
            return  # all places are restored when it is back
        id = arrival.place.connection_id
        arrival.place = dataclasses.replace(arrival.place, generation=found.generation)
        if id in self._places:
            self._places[id] = arrival.place
            self._unasked.discard(id)
        elif id not in self._arrivals:
            self._registry.leave(arrival.place, self._session_ttl)
        await self._succeed(found)

    async def _succeed(self, entered: Entered) -> LeftSession | None:
        """Has whoever had the place closed, wherever it is; returns the session that it leaves behind."""
        old = entered.replaced
        if old is None:
            return entered.session
        left = LeftSession(old.session_id, old.reconnects)
        if old.node_id == self._node_id:
            return _session_of(await self._replace({"connection_id": old.connection_id})) or left
        if not self._members.is_alive(old.node_id):
            return left
        try:
            facts = {"connection_id": old.connection_id}
            return (
                _session_of(await self._requests.ask(old.node_id, "replace", facts, _CLOSE_SECONDS)) or left
            )
        except NoAnswer as fault:
            log.warning(
                "a replaced connection was not closed in time", node_id=old.node_id, reason=str(fault)
            )
            return left

    def _remember(self, place: Place, session: LeftSession | None) -> None:
        if session is not None:
            now = time.monotonic()
            self._sessions.leave(
                place.conversation_id, place.client_id, session.session_id, session.reconnects, now
            )

    # ---- being replaced ---------------------------------------------------------------------------

    async def _replace(self, asked: Facts) -> Facts:
        """Closes a connection, or keeps one from coming in; returns its session once it is gone."""
        id: str = asked["connection_id"]
        arrival = self._arrivals.get(id)
        if arrival is not None:
            arrival.is_replaced = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await arrival.is_over.wait()
        connection = self._manager.find(id)
        if connection is None:
            return {}
        connection.close(*CONNECTED_AGAIN)
        info = connection.info
        return {"session_id": info.session_id, "reconnects": info.reconnects}

    # ---- afterwards -------------------------------------------------------------------------------

    def _left(self, connection: Connection) -> None:
        self._unasked.discard(connection.info.connection_id)
        if (place := self._places.pop(connection.info.connection_id, None)) is not None:
            self._registry.leave(_with_session(place, connection), self._session_ttl)

    def restore_all(self) -> None:
        """Have all places put back or renewed, and close those that were taken over."""
        self._background.run(self._restore_all(), "restore-places")

    async def renew(self) -> None:
        """Renews all places now and then, until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._restore_all()

    async def _restore_all(self) -> None:
        for step in in_batches(self._manager.connections()):
            places = [
                _with_session(self._places[c.info.connection_id], c)
                for c in step
                if c.info.connection_id in self._places
            ]
            try:
                lost = await self._registry.restore(places) if places else []
                await self._close_losers(lost)
                self._tell_taken(places)
            except BackplaneUnavailable:
                return  # `came_back` has it done anew

    def _tell_taken(self, places: Iterable[Place]) -> None:
        """Have the other nodes close those who had places that were taken without asking."""
        for place in places:
            if place.connection_id in self._unasked:
                self._unasked.discard(place.connection_id)
                head = facts_head({"client_id": place.client_id, "generation": place.generation})
                channel = conversation_channel(place.conversation_id)
                self._switchboard.publish(channel, Kind.TAKEN, head)

    def _heard_taken(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        client_id, generation = envelope.facts["client_id"], envelope.facts["generation"]
        for connection in room.connections if room is not None else ():
            info = connection.info
            if info.client_id == client_id and self._places[info.connection_id].generation < generation:
                connection.close(*CONNECTED_AGAIN)

    async def _close_losers(self, lost: Sequence[Place]) -> None:
        """Closes those whose place somebody else has; what looks like it may be an answer that was lost."""
        for place in lost:
            held = [p for p in await self._registry.places_of(place.user_id) if _is_same_device(p, place)]
            if held and held[0].connection_id == place.connection_id:
                if place.connection_id in self._places:
                    self._places[place.connection_id] = held[0]
            elif (connection := self._manager.find(place.connection_id)) is not None:
                connection.close(*CONNECTED_AGAIN)


def _is_same_device(one: Place, other: Place) -> bool:
    return (one.conversation_id, one.client_id) == (other.conversation_id, other.client_id)


def _with_session(place: Place, connection: Connection) -> Place:
    info = connection.info
    return dataclasses.replace(place, session_id=info.session_id, reconnects=info.reconnects)


def _session_of(answer: Facts) -> LeftSession | None:
    return LeftSession(answer["session_id"], answer["reconnects"]) if answer else None
