"""What is not saved reaches the devices on all nodes too, and ends where its node has died."""

import asyncio
from typing import Any

from server.runtime.answers.ai_speech import Spoken
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.device import CONVERSATION
from tests.support.nodes import nodes
from tests.support.stage import StageDevice
from tests.support.valkey_server import ValkeyServer

TYPING = {"type": "TYPING_INDICATOR", "data": {"is_typing": True}}


def heard(device: StageDevice, type: str) -> list[Any]:
    return [frame["data"] for frame in device.socket.frames if frame["type"] == type]


def typing(device: StageDevice) -> list[bool]:
    return [data["is_typing"] for data in heard(device, "TYPING_INDICATOR")]


@asynchronous
async def test_typing_is_seen_on_the_other_node_and_ends_with_the_message(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: phone.connection.room.elsewhere == 1)
        phone.send(TYPING)
        await until(lambda: typing(laptop) == [True])
        assert two.node.typing.is_user_typing(laptop.connection.room)
        phone.say("m1")
        await until(lambda: laptop.seen == [1])
        assert typing(laptop) == [True, False]
        assert typing(phone) == []
        assert not two.node.typing.is_user_typing(laptop.connection.room)


@asynchronous
async def test_a_typist_whose_end_nobody_tells_falls_silent(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), typing_timeout=0.1) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: phone.connection.room.elsewhere == 1)
        phone.send(TYPING)
        await until(lambda: typing(laptop) == [True])
        one.backplane.loses = True
        await until(lambda: typing(laptop) == [True, False])
        assert not two.node.typing.is_user_typing(laptop.connection.room)


@asynchronous
async def test_the_ai_stops_typing_on_all_nodes_before_its_answer_from_another(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), valkey.url()) as (one, two, three):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: phone.connection.room.elsewhere == 1)
        assert one.node.typing.indicate_ai(phone.connection.room, True) == 2
        await until(lambda: typing(laptop) == [True])
        room = three.manager.hold(CONVERSATION)
        await three.conversations.find(room)
        assert room.elsewhere == 2
        spoken = await three.node.speech.say(room, "a1", "hello")
        assert isinstance(spoken, Spoken) and spoken.delivered_to == 2
        await until(lambda: phone.seen == laptop.seen == [1])
        for device in (phone, laptop):
            kinds = [frame["type"] for frame in device.socket.frames if frame["type"] != "SYSTEM"]
            assert kinds == ["TYPING_INDICATOR", "TYPING_INDICATOR", "AI_RESPONSE"]
        three.manager.release(room)


@asynchronous
async def test_a_read_receipt_and_an_announcement_reach_the_other_node(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: len(one.node.cluster.members.alive) == 2)  # type: ignore[union-attr]
        phone.say("m1")
        await until(lambda: laptop.seen == [1])
        laptop.send({"type": "READ_RECEIPT", "message_id": "r1", "data": {"seq": 1}})
        await until(lambda: heard(phone, "READ_RECEIPT") == [{"message_id": "m1", "seq": 1}])
        assert heard(laptop, "READ_RECEIPT") == []
        assert await one.node.announcer.announce("hello", None, CONVERSATION) == 2
        assert await one.node.announcer.announce("hello", "kai", None) == 2
        data = {"event": "announcement", "text": "hello"}
        await until(lambda: heard(laptop, "SYSTEM").count(data) == 2)
        assert heard(phone, "SYSTEM").count(data) == 2


@asynchronous
async def test_matches_and_statuses_reach_all_nodes_and_stay(valkey: ValkeyServer) -> None:
    store = MemoryStore()
    async with nodes(store, valkey.url(), valkey.url()) as (one, two):
        laptop = await two.join("laptop")
        one.node.announcer.new_match(laptop.connection.room.conversation)  # type: ignore[arg-type]
        await until(lambda: heard(laptop, "NEW_MATCH") != [])
        one.node.statuses.set("ai_alex", "away")
        await until(lambda: len(one.node.cluster.members.alive) == 2)  # type: ignore[union-attr]
        assert await one.node.statuses.devices("ai_alex") == 1
        away = {"ai_id": "ai_alex", "status": "away"}
        await until(lambda: heard(laptop, "AI_STATUS") == [away])
        async with nodes(store, valkey.url()) as (three,):
            await until(lambda: three.node.statuses.of("ai_alex") == "away")
            valkey.flush()
            three.node.statuses.set("ai_alex", "online")
            await until(lambda: len(heard(laptop, "AI_STATUS")) == 2)
        await asyncio.sleep(0)
        assert two.node.statuses.of("ai_alex") == "online"
