"""How members and places are written in the service."""

import json
from dataclasses import asdict
from typing import Any

from server.ports import Beat, Entered, LeftSession, Member, Place


def write_member(member: Member) -> str:
    return json.dumps({name: value for name, value in asdict(member).items() if name != "silent"})


def read_beat(reply: list[Any]) -> Beat:
    was_known, members = reply
    found = (Member(**json.loads(says), silent=int(silent) / 1e6) for silent, says in members)
    return Beat(tuple(sorted(found, key=lambda member: member.node_id)), bool(was_known))


def device(place: Place) -> bytes:
    """Return what a user's places are told apart by."""
    return f"{place.conversation_id}\0{place.client_id}".encode()


def write_place(place: Place) -> bytes:
    """All but the generation and what its keys say."""
    return f"{place.node_id}\0{place.connection_id}\0{write_session(place)}".encode()


def write_session(place: Place) -> str:
    return f"{place.session_id}\0{place.reconnects}"


def read_place(user_id: str, device: bytes, value: bytes) -> Place:
    conversation_id, client_id = device.decode().split("\0")
    generation, node_id, connection_id, session_id, reconnects = value.decode().split("\0")
    return Place(
        user_id,
        conversation_id,
        client_id,
        node_id,
        connection_id,
        session_id,
        int(reconnects),
        int(generation),
    )


def read_places(user_id: str, reply: list[bytes]) -> tuple[Place, ...]:
    return tuple(read_place(user_id, reply[i], reply[i + 1]) for i in range(0, len(reply), 2))


def read_entered(place: Place, reply: list[Any]) -> Entered:
    generation, replaced, session, places = reply
    return Entered(
        int(generation),
        None if replaced is None else read_place(place.user_id, device(place), replaced),
        None if session is None else _read_session(session),
        read_places(place.user_id, places),
    )


def read_statuses(reply: list[bytes]) -> dict[str, str]:
    return {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}


def _read_session(value: bytes) -> LeftSession:
    session_id, _, reconnects = value.decode().partition("\0")
    return LeftSession(session_id, int(reconnects))
