"""A turn is answered once, whichever nodes hear of it and whichever dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.ports import MessageStore
from server.runtime.answers.cluster import turns as module
from server.runtime.answers.streams import StreamConfig
from server.runtime.answers.turns import TurnConfig
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.device import CONVERSATION
from tests.support.nodes import StageNode, die, nodes
from tests.support.scripted_responder import ScriptedResponder
from tests.support.stage import StageDevice
from tests.support.valkey_server import ValkeyServer

QUICK: Any = {"wait": 0.1, "max_wait": 0.4, "typing_delay": (0.0, 0.0)}


@asynccontextmanager
async def answering(
    valkey: ValkeyServer, store: MessageStore | None = None, **config: Any
) -> AsyncIterator[tuple[ScriptedResponder, list[StageNode]]]:
    """Two nodes whose responder is one: it hears of every call."""
    responder = ScriptedResponder()
    parts = {"turns": TurnConfig(**(QUICK | config)), "streams": StreamConfig(0.0), "responder": responder}
    async with nodes(store or MemoryStore(owes_answers=True), valkey.url(), valkey.url(), **parts) as stages:
        yield responder, stages


def answers(device: StageDevice) -> list[tuple[str, str, str | None]]:
    frames = device.socket.frames
    return [(f["message_id"], f["data"], f.get("finish")) for f in frames if f["type"] == "AI_RESPONSE"]


def pieces(device: StageDevice) -> list[tuple[str, str]]:
    found = [f for f in device.socket.frames if f["type"] == "AI_RESPONSE_CHUNK"]
    return [(f["message_id"], f["data"].get("text", "aborted")) for f in found]


@asynchronous
async def test_a_burst_from_two_nodes_is_one_turn_answered_once(valkey: ValkeyServer) -> None:
    async with answering(valkey) as (responder, (one, two)):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        phone.say("m1", "one")
        await asyncio.sleep(0.05)
        laptop.say("m2", "two")
        script = await responder.called(1)
        assert script.said == ["one", "two"]
        script.write("Hello")
        script.end()
        await until(lambda: answers(phone) == answers(laptop) == [("answer-2", "Hello", None)])
        await asyncio.sleep(1.2)
        assert len(responder.calls) == 1
        assert one.node.turns is not None and two.node.turns is not None
        assert one.node.turns.waiting == two.node.turns.waiting == 0


@asynchronous
async def test_the_turn_waits_while_the_user_types_on_another_node(valkey: ValkeyServer) -> None:
    async with answering(valkey, wait=0.2, max_wait=5.0) as (responder, (one, two)):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: laptop.device_counts == [2] or phone.device_counts == [2])
        laptop.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
        await until(lambda: any(f["type"] == "TYPING_INDICATOR" for f in phone.socket.frames))
        phone.say("m1", "one")
        await asyncio.sleep(0.6)
        assert not responder.calls
        laptop.send({"type": "TYPING_INDICATOR", "data": {"is_typing": False}})
        (await responder.called(1)).end()


@pytest.mark.parametrize("interrupt", ["cancel", "rollback"])
def test_a_message_on_another_node_interrupts_the_answer(valkey: ValkeyServer, interrupt: str) -> None:
    @asynchronous
    async def interrupted() -> None:
        async with answering(valkey, interrupt=interrupt) as (responder, (one, two)):
            phone, laptop = await one.join("phone"), await two.join("laptop")
            phone.say("m1", "one")
            first = await responder.called(1)
            first.write("Well")
            await until(lambda: pieces(laptop) == [("answer-1", "Well")])
            laptop.say("m2", "two")
            second = await responder.called(2)
            assert first.is_closed
            second.write("Yes")
            second.end()
            if interrupt == "cancel":
                expected = [("answer-1", "Well", "cancelled"), ("answer-2", "Yes", None)]
                assert second.said == ["two"]
            else:
                expected = [("answer-2", "Yes", None)]
                assert second.said == ["one", "two"]
                assert ("answer-1", "aborted") in pieces(laptop)
            await until(lambda: answers(phone) == answers(laptop) == expected)

    interrupted()


@asynchronous
async def test_a_turn_that_waits_is_cancelled_from_another_node(valkey: ValkeyServer) -> None:
    async with answering(valkey, wait=5.0, max_wait=5.0) as (responder, (one, two)):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        phone.say("m1", "one")
        await until(lambda: laptop.seen == [1])
        laptop.send({"type": "CANCEL_RESPONSE", "message_id": "c1", "data": {}})
        await until(lambda: [frame["type"] for frame in laptop.answers] == ["ACK"])
        await until(lambda: ("answer-1", "aborted") in pieces(phone))
        assert ("answer-1", "aborted") in pieces(laptop)
        assert not responder.calls


@asynchronous
async def test_what_a_node_that_died_was_answering_another_one_answers(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HURRIED_ROUND", 0.2)
    monkeypatch.setattr(module, "_SLACK", 0.1)
    async with answering(valkey) as (responder, (one, two)):
        laptop = await two.join("laptop")
        phone = await one.join("phone")
        phone.say("m1", "one")
        (await responder.called(1)).write("Well")
        await until(lambda: pieces(laptop) == [("answer-1", "Well")])
        await die(one)
        script = await responder.called(2)
        script.write("Yes")
        script.end()
        await until(lambda: bool(answers(laptop)))
        assert script.said == ["one"]
        # What was shown and taken back keeps its name.
        assert answers(laptop) == [("answer-1-2", "Yes", None)]
        assert pieces(laptop) == [("answer-1", "Well"), ("answer-1", "aborted"), ("answer-1-2", "Yes")]


@asynchronous
async def test_what_a_node_is_answering_no_other_one_takes_over(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HURRIED_ROUND", 0.1)
    monkeypatch.setattr(module, "_SLACK", 0.0)
    async with answering(valkey) as (responder, (one, _)):
        phone = await one.join("phone")
        phone.say("m1", "one")
        script = await responder.called(1)
        await asyncio.sleep(1.5)  # several leases long
        assert len(responder.calls) == 1
        script.write("Yes")
        script.end()
        await until(lambda: answers(phone) == [("answer-1", "Yes", None)])


@asynchronous
async def test_without_the_backplane_both_may_answer_and_one_answer_is_saved(valkey: ValkeyServer) -> None:
    store = MemoryStore(owes_answers=True)
    async with answering(valkey, store, wait=0.5) as (responder, (one, two)):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        phone.say("m1", "one")
        await until(lambda: laptop.seen == [1])
        valkey.stop()
        await until(lambda: not one.backplane.is_connected and not two.backplane.is_connected)
        laptop.say("m2", "two")
        await responder.called(2)
        for number, script in enumerate(list(responder.calls)):
            script.write(f"Answer {number}")
            await asyncio.sleep(0.05)
            script.end()
        valkey.start()
        await until(lambda: len(answers(phone)) == len(answers(laptop)) > 0)
        await asyncio.sleep(1.0)
        assert answers(phone) == answers(laptop)
        assert phone.seen == laptop.seen == sorted(set(laptop.seen))
        room = one.manager.room(CONVERSATION)
        assert room is not None
        assert await store.owed(0, 10) == []


@asynchronous
async def test_a_lease_that_another_node_has_got_takes_the_answer_back(valkey: ValkeyServer) -> None:
    async with answering(valkey) as (responder, (one, two)):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        phone.say("m1", "one")
        (await responder.called(1)).write("Well")
        await until(lambda: pieces(laptop) == [("answer-1", "Well")])
        lease = f"turn:{CONVERSATION}"
        one.backplane.release(lease, one.node.ids.prefix)
        assert await two.backplane.take(lease, two.node.ids.prefix, 0.4)
        await until(lambda: responder.calls[0].is_closed)
        await until(lambda: ("answer-1", "aborted") in pieces(laptop))
        script = await responder.called(2)  # once the lease has run out
        script.write("Yes")
        script.end()
        await until(lambda: answers(phone) == answers(laptop) == [("answer-1-2", "Yes", None)])


@asynchronous
async def test_a_user_with_a_device_on_another_node_is_not_absent(valkey: ValkeyServer) -> None:
    async with answering(valkey) as (_, (one, two)):
        room = two.manager.hold(CONVERSATION)
        await one.join("phone")
        await two.conversations.find(room)
        assert two.node._shared is not None
        assert await two.node._shared.is_elsewhere(room)
        assert one.node._shared is not None
        here = one.manager.hold(CONVERSATION)
        assert not await one.node._shared.is_elsewhere(here)
