"""The contract of channels: what is published is heard by those who listen, in order."""

import asyncio

import pytest
import redis

from server.ports import BackplaneUnavailable
from tests.support.asynchronous import asynchronous, on_uvloop, until
from tests.support.backplane import Heard, backplane
from tests.support.tcp_proxy import Way, tcp_proxy
from tests.support.valkey_server import ValkeyServer


@on_uvloop
async def test_all_who_subscribe_hear_a_message_and_nobody_else(valkey: ValkeyServer) -> None:
    one, two, three = Heard(), Heard(), Heard()
    async with (
        backplane(valkey.url(), one) as a,
        backplane(valkey.url(), two) as b,
        backplane(valkey.url(), three) as c,
    ):
        await asyncio.gather(a.subscribe("room:1"), b.subscribe("room:1"), c.subscribe("room:2"))
        assert a.publish("room:1", b"\x00\xff\r\n hello")
        await until(lambda: bool(one.messages and two.messages))
        await c.subscribe("sent after it")
    assert one.messages == two.messages == [("room:1", b"\x00\xff\r\n hello")]
    assert not three.messages


@on_uvloop
async def test_messages_of_a_node_come_in_their_order_over_turns_of_the_loop(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url()) as a, backplane(valkey.url(), heard) as b:
        await b.subscribe("room")
        for number in range(3000):
            a.publish("room", b"%d" % number)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(heard.messages) == 3000)
    assert heard.payloads == [b"%d" % number for number in range(3000)]


@on_uvloop
async def test_a_subscription_that_returned_hears_what_is_published_next(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        proxy.delay(0.005)
        async with backplane(valkey.url()) as a, backplane(valkey.url(proxy.port), heard) as b:
            for number in range(20):
                await b.subscribe(f"room:{number}")
                a.publish(f"room:{number}", b"%d" % number)
            await until(lambda: len(heard.messages) == 20)
    assert heard.payloads == [b"%d" % number for number in range(20)]


@on_uvloop
async def test_several_wait_for_one_channel_and_one_may_give_up(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with backplane(valkey.url(proxy.port)) as a:
            proxy.hold(Way.TO_CLIENT)
            waiting = [asyncio.create_task(a.subscribe("room")) for _ in range(3)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            waiting[0].cancel()
            await asyncio.sleep(0)
            proxy.release()
            await asyncio.gather(*waiting[1:])
            assert waiting[0].cancelled()
            await asyncio.wait_for(a.subscribe("room"), 0.01)  # is subscribed: nothing to wait for


@on_uvloop
async def test_what_is_unsubscribed_is_not_heard_and_can_be_subscribed_again(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url()) as a, backplane(valkey.url(), heard) as b:
        await b.subscribe("room")
        b.unsubscribe("room")
        b.unsubscribe("never subscribed")
        await b.subscribe("other")
        a.publish("room", b"unheard")
        a.publish("other", b"1")
        await until(lambda: bool(heard.messages))
        b.unsubscribe("room")
        await b.subscribe("room")
        a.publish("room", b"2")
        await until(lambda: len(heard.messages) == 2)
    assert heard.payloads == [b"1", b"2"]


@on_uvloop
async def test_nobody_hears_a_subscription_that_was_ended_while_it_was_made(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        subscribing = asyncio.create_task(a.subscribe("room"))
        await asyncio.sleep(0)
        a.unsubscribe("room")
        await subscribing
        a.publish("room", b"unheard")
        await a.subscribe("other")
        a.publish("other", b"heard")
        await until(lambda: bool(heard.messages))
    assert heard.payloads == [b"heard"]


@on_uvloop
async def test_databases_part_deployments_that_share_a_service(valkey: ValkeyServer) -> None:
    one, two = Heard(), Heard()
    async with backplane(valkey.url() + "/1", one) as a, backplane(valkey.url() + "/2", two) as b:
        await asyncio.gather(a.subscribe("room"), b.subscribe("room"))
        a.publish("room", b"one")
        b.publish("room", b"two")
        await until(lambda: bool(one.messages and two.messages))
    assert (one.payloads, two.payloads) == ([b"one"], [b"two"])


@asynchronous  # uvloop would join the writes of a turn by itself
async def test_all_of_a_turn_of_the_loop_leave_in_one_write(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        await a.last_seen("ann")
        before = reads_of(valkey)
        for _ in range(200):
            a.publish("room", b"message")
            a.set_ai_status("ai", "away")
        await a.last_seen("ann")
        # The two of whoever asks (greetings have some), and a PING maybe; apart they would be 400.
        assert reads_of(valkey) - before < 15


@on_uvloop
async def test_while_the_service_is_away_nothing_is_sent_and_wishes_are_kept(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        proxy.refuse()
        async with backplane(valkey.url(proxy.port), heard) as a:
            assert not a.is_connected
            assert not a.publish("room", b"lost")
            with pytest.raises(BackplaneUnavailable):
                await a.subscribe("room")
            with pytest.raises(BackplaneUnavailable):
                await a.last_seen("ann")
            a.set_ai_status("ai", "away")
            proxy.accept()
            await until(lambda: heard.events == ["back"])
            assert a.publish("room", b"sent")
            await until(lambda: bool(heard.messages))
    assert heard.messages == [("room", b"sent")]
    assert heard.events == ["back"]


@on_uvloop
async def test_what_was_queued_before_the_end_is_sent(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        async with backplane(valkey.url()) as b:
            b.publish("room", b"the last")
        await until(lambda: bool(heard.messages))
    assert heard.payloads == [b"the last"]
    assert heard.events == ["back"]


def reads_of(valkey: ValkeyServer) -> int:
    """How often the service has read from its connections."""
    with redis.Redis(port=valkey.port) as client:
        return int(client.info("stats")["total_reads_processed"])
