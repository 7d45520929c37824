"""Protocol, section 1: devices come, are replaced, come back and go."""

import asyncio
from typing import Any

import pytest

from server.core.join_request import Refusal
from server.protocol import CloseCode, is_identifier
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import CONVERSATION
from tests.support.stage import FakeSocket, Stage, turns


@asynchronous
async def test_the_welcome_comes_first_and_tells_what_a_client_needs() -> None:
    stage = Stage(MemoryStore())
    (await stage.join("tablet")).say("m1")
    await stage.settle()
    device = await stage.join("phone")
    frame = device.socket.frames[0]
    assert (frame["type"], frame["sender"], frame["conversation_id"]) == ("SYSTEM", "server", CONVERSATION)
    info = device.connection.info
    assert device.welcome == {
        "event": "connected",
        "protocol": 1,
        "user_id": "kai",
        "client_id": "phone",
        "session_id": info.session_id,
        "connection_id": info.connection_id,
        "last_seq": 1,
        "epoch": (await stage.store.find_conversation(CONVERSATION)).epoch,  # type: ignore[union-attr]
        "resumed": False,
        "recovered": 0,
        "gap": None,
        "heartbeat_interval": 30.0,
        "heartbeat_timeout": 60.0,
        "ack_timeout": 10.0,
        "max_text_length": 4000,
        "max_frame_bytes": 65536,
        "rate_limit": None,
        "ai": {"id": "ai_alex", "name": "Alex", "status": "online"},
        "devices": 2,
    }


@asynchronous
async def test_an_unknown_conversation_is_created_for_who_joins_first_and_is_nobody_elses() -> None:
    stage = Stage(MemoryStore())
    device = await stage.join("phone", user="kai")
    refusal = await stage.ask_to_join(FakeSocket(), "tablet", user="ben")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == (CloseCode.POLICY_VIOLATION, "not your conversation")
    device.connection.on_closed(1000)
    assert isinstance(await stage.ask_to_join(FakeSocket(), "tablet", user="ben"), Refusal)
    assert (await stage.join("tablet", user="kai")).welcome["user_id"] == "kai"


@asynchronous
async def test_without_auto_create_an_unknown_conversation_is_refused() -> None:
    store = MemoryStore()
    stage = Stage(store, auto_create=False)
    refusal = await stage.ask_to_join(FakeSocket(), "phone")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == (CloseCode.POLICY_VIOLATION, "unknown conversation")
    await Stage(store).join("phone")
    assert (await stage.join("phone")).connection.close_code is None


@asynchronous
async def test_a_device_without_client_id_is_given_one_that_is_its_own() -> None:
    stage = Stage(MemoryStore())
    first, second = await stage.join(None), await stage.join(None)
    ids = {device.welcome["client_id"] for device in (first, second)}
    assert len(ids) == 2 and all(map(is_identifier, ids))
    assert first.socket.closed is None
    again = await stage.join(first.welcome["client_id"], session_id=first.welcome["session_id"])
    assert (again.welcome["resumed"], first.socket.closed is not None) == (True, True)


@asynchronous
async def test_ten_connects_of_one_device_at_once_leave_one_live() -> None:
    stage = Stage(MemoryStore())
    sockets = [FakeSocket() for _ in range(10)]
    await asyncio.gather(*(stage.ask_to_join(socket, "phone") for socket in sockets))
    await turns(2)
    assert [socket.closed and socket.closed[0] for socket in sockets].count(None) == 1
    assert [s.closed[0] for s in sockets if s.closed] == [CloseCode.REPLACED] * 9
    assert stage.manager.current == 1
    (live,) = stage.manager.connections()
    assert live.room.connections == live.room.live == (live,)


@asynchronous
async def test_the_old_connection_is_closed_before_the_new_one_is_welcomed() -> None:
    stage = Stage(MemoryStore())
    first = await stage.join("phone")
    closed_when_welcomed: list[Any] = []

    class WatchingSocket(FakeSocket):
        def write(self, frames: bytes) -> None:
            closed_when_welcomed.append(first.socket.closed)
            super().write(frames)

    await stage.ask_to_join(WatchingSocket(), "phone")
    await turns(2)
    assert closed_when_welcomed == [(CloseCode.REPLACED, "this device connected again")]


@asynchronous
async def test_what_a_replaced_connection_had_sent_is_still_processed() -> None:
    stage = Stage(MemoryStore())
    old, tablet = await stage.join("phone"), await stage.join("tablet")
    old.say("before")
    new = await stage.join("phone")
    old.say("in-the-socket-buffer")
    await stage.settle()
    assert [f["message_id"] for f in tablet.socket.frames if f["type"] == "CHAT_MESSAGE"] == [
        "before",
        "in-the-socket-buffer",
    ]
    assert new.seen == [1, 2]
    assert new.answers == []


@asynchronous
async def test_what_a_replaced_connection_had_sent_reaches_devices_that_came_after_all_others_had_left() -> (
    None
):
    stage = Stage(MemoryStore())
    old = await stage.join("phone")
    (await stage.join("phone")).connection.on_closed(1006)
    late = await stage.join("tablet")
    old.say("in-the-socket-buffer")
    await stage.settle()
    assert late.seen == [1]
    old.connection.on_closed(4500)
    assert stage.manager.received == 1
    late.connection.on_closed(1000)
    assert list(stage.manager.rooms()) == []
    assert stage.manager.room(old.connection.info.conversation_id) is None


@asynchronous
async def test_a_device_that_brings_its_session_id_resumes_and_keeps_it() -> None:
    stage = Stage(MemoryStore())
    first = await stage.join("phone")
    second = await stage.join("phone", session_id=first.welcome["session_id"])
    second.connection.on_closed(1006)
    third = await stage.join("phone", session_id=first.welcome["session_id"])
    assert [d.welcome["resumed"] for d in (first, second, third)] == [False, True, True]
    assert len({d.welcome["session_id"] for d in (first, second, third)}) == 1
    assert [d.connection.info.reconnects for d in (first, second, third)] == [0, 1, 2]
    assert stage.metrics.reconnections == 2


@asynchronous
async def test_a_known_device_without_its_session_id_is_a_reconnection_but_not_resumed() -> None:
    stage = Stage(MemoryStore())
    first = await stage.join("phone")
    first.connection.on_closed(1006)
    second = await stage.join("phone")
    assert second.welcome["resumed"] is False
    assert second.welcome["session_id"] != first.welcome["session_id"]
    assert stage.metrics.reconnections == 1


@asynchronous
async def test_a_session_id_of_another_device_is_ignored() -> None:
    stage = Stage(MemoryStore())
    phone = await stage.join("phone")
    tablet = await stage.join("tablet", session_id=phone.welcome["session_id"])
    assert tablet.welcome["resumed"] is False
    assert tablet.welcome["session_id"] != phone.welcome["session_id"]
    assert phone.socket.closed is None
    tablet.connection.on_closed(1006)
    again = await stage.join("tablet", session_id=phone.welcome["session_id"])
    known = {device.welcome["session_id"] for device in (phone, tablet)}
    assert (again.welcome["resumed"], again.welcome["session_id"] in known) == (False, False)


@asynchronous
async def test_after_the_session_ttl_a_device_is_new() -> None:
    stage = Stage(MemoryStore(), session_ttl=0.0)
    first = await stage.join("phone")
    first.connection.on_closed(1006)
    second = await stage.join("phone", session_id=first.welcome["session_id"])
    assert (second.welcome["resumed"], stage.metrics.reconnections) == (False, 0)


@asynchronous
async def test_the_same_device_in_another_conversation_replaces_nothing() -> None:
    stage = Stage(MemoryStore())
    here = await stage.join("phone", conversation="one")
    there = await stage.join("phone", conversation="two", session_id=here.welcome["session_id"])
    assert here.socket.closed is None
    assert there.welcome["resumed"] is False


@asynchronous
async def test_the_other_devices_hear_how_many_there_are_when_the_number_changes() -> None:
    stage = Stage(MemoryStore())
    phone = await stage.join("phone")
    tablet = await stage.join("tablet")
    await turns(3)
    laptop = await stage.join("laptop")
    await turns(3)
    laptop.connection.on_closed(1006)
    await turns(3)
    assert [d.welcome["devices"] for d in (phone, tablet, laptop)] == [1, 2, 3]
    assert phone.device_counts == [2, 3, 2]
    assert tablet.device_counts == [3, 2]
    assert laptop.device_counts == []


@asynchronous
async def test_a_replaced_device_changes_no_number_and_tells_nobody() -> None:
    stage = Stage(MemoryStore())
    phone = await stage.join("phone")
    await stage.join("tablet")
    await turns(3)
    again = await stage.join("tablet")
    await turns(3)
    assert phone.device_counts == [2]
    assert (again.welcome["devices"], again.device_counts) == (2, [])


@asynchronous
async def test_devices_of_another_conversation_are_not_told() -> None:
    stage = Stage(MemoryStore())
    phone = await stage.join("phone", conversation="one")
    await stage.join("tablet", conversation="two")
    await turns(3)
    assert phone.device_counts == []


@asynchronous
@pytest.mark.parametrize("code", [1000, 1001, 1006])
async def test_a_device_that_left_gets_nothing_more(code: int) -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    tablet.connection.on_closed(code)
    phone.say("m1")
    await stage.settle()
    assert (phone.seen, tablet.seen) == ([1], [])
