"""The registry: each verb is one script or command, pipelined with all others of the turn."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final

from server.backplane.redis import scripts
from server.backplane.redis.link import Convert, Link
from server.backplane.redis.records import (
    device,
    read_beat,
    read_entered,
    read_places,
    read_statuses,
    write_member,
    write_place,
    write_session,
)
from server.backplane.redis.scripts import Script
from server.ports import BackplaneUnavailable, Beat, Entered, Member, Place, Rate

_HOUR: Final = 3600  # seconds after which what nobody renews is forgotten
_SEEN_SECONDS: Final = 30 * 24 * _HOUR
_MEMBERS: Final = "chatctl:{nodes}:members"
_AI_STATUSES: Final = "chatctl:{ai}:statuses"


class RedisRegistry:
    """Needs a link that is logged in and knows the scripts; without one everything is unavailable.

    Keys have a hash tag: all of a user's share a slot.
    """

    def __init__(self) -> None:
        self._commands: Link | None = None

    def beat(self, me: Member) -> Awaitable[Beat]:
        self._tell("EXPIRE", _AI_STATUSES, _HOUR)
        return self._run(scripts.BEAT, [_MEMBERS], me.node_id, write_member(me), _HOUR, convert=read_beat)

    def depart(self, node_id: str) -> None:
        self._tell("HDEL", _MEMBERS, node_id)

    def enter(self, place: Place) -> Awaitable[Entered]:
        keys = [_places(place.user_id), _session(place)]
        convert = partial(read_entered, place)
        return self._run(scripts.ENTER, keys, device(place), write_place(place), _HOUR, convert=convert)

    def leave(self, place: Place, session_ttl: float) -> None:
        keys = [_places(place.user_id), _session(place), _seen(place.user_id)]
        kept = int(session_ttl * 1000)
        session = write_session(place)
        self._do(scripts.LEAVE, keys, device(place), place.generation, session, kept, _SEEN_SECONDS)

    async def restore(self, places: Sequence[Place]) -> list[Place]:
        by_user = _by_user(places)
        asked = [self._restore(user_id, group) for user_id, group in by_user.items()]
        lost = await asyncio.gather(*asked)
        return [place for losers in lost for place in losers]

    def forget(self, places: Sequence[Place]) -> None:
        for user_id, group in _by_user(places).items():
            arguments = [value for place in group for value in (device(place), place.generation)]
            self._do(scripts.FORGET, [_places(user_id), _seen(user_id)], _SEEN_SECONDS, *arguments)

    def places_of(self, user_id: str) -> Awaitable[tuple[Place, ...]]:
        return self._ask("HGETALL", _places(user_id), convert=partial(read_places, user_id))

    def last_seen(self, user_id: str) -> Awaitable[int | None]:
        return self._ask("GET", _seen(user_id), convert=lambda reply: reply and int(reply))

    def forget_user(self, user_id: str) -> None:
        self._tell("DEL", _seen(user_id))

    def count(self, rate: Rate, user_id: str) -> "asyncio.Future[float | None]":
        window = int(rate.window * 1e6)
        return self._run(scripts.COUNT, [_rate(rate, user_id)], rate.most, window, convert=_seconds)

    def refund(self, rate: Rate, user_id: str) -> None:
        self._tell("RPOP", _rate(rate, user_id))

    def set_ai_status(self, ai_id: str, status: str | None) -> None:
        if status is None:
            self._tell("HDEL", _AI_STATUSES, ai_id)
        else:
            self._tell("HSET", _AI_STATUSES, ai_id, status)

    def ai_statuses(self) -> Awaitable[dict[str, str]]:
        return self._ask("HGETALL", _AI_STATUSES, convert=read_statuses)

    def take(self, lease: str, holder: str, seconds: float) -> Awaitable[bool]:
        return self._run(scripts.TAKE, [_lease(lease)], holder, int(seconds * 1000), convert=bool)

    def release(self, lease: str, holder: str) -> None:
        self._do(scripts.RELEASE, [_lease(lease)], holder)

    def _restore(self, user_id: str, places: list[Place]) -> "asyncio.Future[list[Place]]":
        arguments = [
            value for place in places for value in (device(place), place.generation, write_place(place))
        ]
        return self._run(
            scripts.RESTORE,
            [_places(user_id)],
            _HOUR,
            *arguments,
            convert=lambda numbers: [places[number] for number in numbers],
        )

    # ---- commands ---------------------------------------------------------------------------------

    def _run(
        self, script: Script, keys: list[str], *arguments: str | bytes | int, convert: Convert
    ) -> "asyncio.Future[Any]":
        return self._ask("EVALSHA", script.sha, len(keys), *keys, *arguments, convert=convert)

    def _do(self, script: Script, keys: list[str], *arguments: str | bytes | int) -> None:
        self._tell("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def _ask(self, *command: str | bytes | int, convert: Convert) -> "asyncio.Future[Any]":
        if self._commands is not None:
            return self._commands.ask(*command, convert=convert)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(BackplaneUnavailable("not connected"))
        return future

    def _tell(self, *command: str | bytes | int) -> None:
        if self._commands is not None:
            self._commands.tell(*command)


def _by_user(places: Sequence[Place]) -> dict[str, list[Place]]:
    groups: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        groups[place.user_id].append(place)
    return groups


def _seconds(microseconds: int) -> float | None:
    return None if microseconds < 0 else microseconds / 1e6


def _places(user_id: str) -> str:
    return f"chatctl:{{{user_id}}}:places"


def _seen(user_id: str) -> str:
    return f"chatctl:{{{user_id}}}:seen"


def _session(place: Place) -> str:
    return f"chatctl:{{{place.user_id}}}:session:{place.conversation_id}\0{place.client_id}"


def _rate(rate: Rate, user_id: str) -> str:
    return f"chatctl:{{{user_id}}}:rate:{rate.kind}"


def _lease(name: str) -> str:
    return f"chatctl:{{{name}}}:lease"
