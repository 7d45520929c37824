"""A user's rate is one, whichever nodes the devices are on."""

import asyncio

from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.nodes import nodes
from tests.support.stage import StageDevice
from tests.support.tcp_proxy import tcp_proxy
from tests.support.valkey_server import ValkeyServer


def limited(device: StageDevice) -> list[str]:
    return [f["message_id"] for f in device.answers if f["type"] == "NACK"]


def acked(device: StageDevice) -> list[str]:
    return [f["message_id"] for f in device.answers if f["type"] == "ACK"]


async def answered(*devices: StageDevice, count: int) -> None:
    await until(lambda: sum(len(device.answers) for device in devices) == count)


@asynchronous
async def test_messages_on_two_nodes_at_once_pass_no_more_often_than_on_one(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), limit=10) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: "kai" in one.node.cluster.spread)  # type: ignore[union-attr]
        for number in range(10):
            phone.say(f"p{number}")
            laptop.say(f"l{number}")
        await answered(phone, laptop, count=20)
        assert len(acked(phone) + acked(laptop)) == 10
        assert acked(phone) == [f"p{number}" for number in range(len(acked(phone)))]
        refused = [f for f in phone.answers + laptop.answers if f["type"] == "NACK"]
        assert {f["error"]["code"] for f in refused} == {"rate_limited"}
        assert all(0 < f["error"]["retry_after"] <= 60 for f in refused)


@asynchronous
async def test_who_changes_nodes_has_no_new_window(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), limit=3) as (one, two):
        phone = await one.join("phone")
        for number in range(3):
            phone.say(f"m{number}")
        await answered(phone, count=3)
        phone.connection.on_closed(1000)
        await asyncio.sleep(0.05)
        again = await two.join("phone")
        again.say("m3")
        await answered(again, count=1)
        assert limited(again) == ["m3"]
        again.say("m0")
        await answered(again, count=2)
        assert again.answers[1]["duplicate"]


@asynchronous
async def test_signals_that_are_too_many_elsewhere_are_soon_refused_here(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), signals=5) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        typing = {"type": "TYPING_INDICATOR", "data": {"is_typing": True}}
        for number in range(5):
            phone.send(typing | {"message_id": f"p{number}"})
        await answered(phone, count=5)
        for number in range(3):
            laptop.send(typing | {"message_id": f"l{number}"})
            await asyncio.sleep(0.02)
        assert limited(laptop) == ["l1", "l2"]


@asynchronous
async def test_without_the_backplane_each_node_counts_by_itself(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        url = valkey.url(proxy.port)
        async with nodes(MemoryStore(), url, url, limit=3) as (one, two):
            phone, laptop = await one.join("phone"), await two.join("laptop")
            proxy.hold()
            for device in (phone, laptop):
                for number in range(4):
                    device.say(f"{device.connection.info.client_id}{number}")
            await answered(phone, laptop, count=8)
            assert (len(acked(phone)), len(acked(laptop))) == (3, 3)
