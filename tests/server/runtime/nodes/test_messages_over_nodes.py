"""What is said on one node is seen on all: in order, each once, whatever is lost on the way."""

import asyncio
from typing import Any

from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.nodes import NODE_TTL, nodes
from tests.support.stage import StageDevice
from tests.support.tcp_proxy import tcp_proxy
from tests.support.valkey_server import ValkeyServer


def acked(device: StageDevice) -> list[int]:
    return [frame["seq"] for frame in device.answers if frame["type"] == "ACK"]


@asynchronous
async def test_a_message_reaches_the_devices_on_all_nodes(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone, laptop, tablet = await one.join("phone"), await two.join("laptop"), await one.join("tablet")
        phone.say("m1")
        await until(lambda: laptop.seen == [1])
        laptop.say("m2")
        await until(lambda: phone.seen == [1, 2])
        assert phone.seen == laptop.seen == tablet.seen == [1, 2]
        assert _messages(phone) == _messages(laptop)


@asynchronous
async def test_all_say_much_at_once_and_all_see_the_same(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), valkey.url()) as stages:
        devices = [await stage.join(f"d{number}") for number, stage in enumerate(stages)]
        for turn in range(50):
            for number, device in enumerate(devices):
                device.say(f"m{turn}-{number}")
            if turn % 7 == 0:
                await asyncio.sleep(0.002)
        await until(lambda: all(len(device.seen) == 150 for device in devices))
        for device in devices:
            assert device.seen == list(range(1, 151))
            assert len(acked(device)) == 50


@asynchronous
async def test_an_ack_never_comes_before_its_message(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        proxy.delay(0.02)
        async with nodes(MemoryStore(), valkey.url(), valkey.url(proxy.port)) as (one, two):
            phone, laptop = await one.join("phone"), await two.join("laptop")
            for number in range(20):
                phone.say(f"p{number}")
                await asyncio.sleep(0.003)
                laptop.say(f"l{number}")
            await until(lambda: len(acked(laptop)) == 20 and len(laptop.seen) == 40)
            assert laptop.seen == list(range(1, 41))
            seen: set[int] = set()
            for frame in laptop.socket.frames[1:]:
                if frame["type"] == "CHAT_MESSAGE":
                    seen.add(frame["seq"])
                elif frame["type"] == "ACK":
                    assert frame["seq"] in seen


@asynchronous
async def test_who_joins_while_others_talk_misses_nothing_and_gets_nothing_twice(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone = await one.join("phone")
        joined: list[StageDevice] = []
        for turn in range(30):
            phone.say(f"m{turn}")
            if turn % 3 == 0:
                joined.append(await two.join(f"late{turn}", last_seq=0))
        await until(lambda: all(len(device.seen) == 30 for device in joined))
        for device in joined:
            assert device.seen == list(range(1, 31))


@asynchronous
async def test_a_lost_message_is_read_from_the_store_when_the_next_one_comes(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), node_ttl=60.0) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        one.backplane.loses = True
        phone.say("m1")
        await until(lambda: phone.seen == [1])
        one.backplane.loses = False
        phone.say("m2")
        await until(lambda: laptop.seen == [1, 2])


@asynchronous
async def test_a_lost_last_message_is_found_by_the_slow_round(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        one.backplane.loses = True
        phone.say("m1")
        await until(lambda: phone.seen == [1])
        assert laptop.seen == []
        await until(lambda: laptop.seen == [1], 4 * NODE_TTL)


@asynchronous
async def test_a_device_that_knows_more_than_its_new_node_has_not_lost_its_log(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), node_ttl=60.0) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        one.backplane.loses = True
        for number in range(3):
            phone.say(f"m{number}")
        await until(lambda: phone.seen == [1, 2, 3])
        moved = await two.join("tablet", last_seq=3, epoch=phone.welcome["epoch"])
        assert (moved.welcome["last_seq"], moved.welcome["recovered"], moved.welcome["gap"]) == (3, 0, None)
        await until(lambda: laptop.seen == [1, 2, 3])
        assert moved.seen == []


@asynchronous
async def test_what_was_said_while_the_backplane_was_away_is_there_as_soon_as_it_is_back(
    valkey: ValkeyServer,
) -> None:
    with tcp_proxy(valkey.port) as proxy:
        url = valkey.url(proxy.port)
        async with nodes(MemoryStore(), url, url, node_ttl=60.0) as (one, two):
            phone, laptop = await one.join("phone"), await two.join("laptop")
            proxy.refuse()
            proxy.cut()
            phone.say("m1")
            laptop.say("m2")
            tablet = await two.join("tablet", conversation="another_ai_alex")
            await until(lambda: acked(phone) == [1] and acked(laptop) == [2])
            proxy.accept()
            await until(lambda: phone.seen == laptop.seen == [1, 2])
            watch = await one.join("watch", conversation="another_ai_alex")
            watch.say("m3")
            await until(lambda: tablet.seen == [1])


@asynchronous
async def test_one_node_that_was_cut_off_tells_the_others_what_they_missed(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with nodes(MemoryStore(), valkey.url(), valkey.url(proxy.port), node_ttl=60.0) as (one, two):
            phone, laptop = await one.join("phone"), await two.join("laptop")
            proxy.refuse()
            proxy.cut()
            await until(lambda: not two.backplane.is_connected)
            laptop.say("m1")
            await until(lambda: acked(laptop) == [1])
            assert phone.seen == []
            proxy.accept()
            await until(lambda: phone.seen == [1])


@asynchronous
async def test_a_conversation_that_was_deleted_unheard_is_closed_by_the_slow_round(
    valkey: ValkeyServer,
) -> None:
    store = MemoryStore()
    async with nodes(store, valkey.url(), valkey.url()) as (_, two):
        laptop = await two.join("laptop")
        await store.delete_conversations([laptop.connection.room.conversation_id])
        await until(lambda: laptop.socket.closed is not None, 4 * NODE_TTL)
        assert laptop.socket.closed == (1000, "the conversation was deleted")
        again = await two.join("laptop")
        assert again.welcome["epoch"] != laptop.welcome["epoch"]


def _messages(device: StageDevice) -> list[dict[str, Any]]:
    return [frame for frame in device.socket.frames if frame["type"] == "CHAT_MESSAGE"]
