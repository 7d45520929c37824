"""The contract of the registry: what nodes know in common."""

import asyncio
from dataclasses import replace

import pytest
import redis

from server.ports import BackplaneUnavailable, LeftSession, Rate
from tests.support.asynchronous import on_uvloop
from tests.support.backplane import backplane, member, place
from tests.support.valkey_server import ValkeyServer


@on_uvloop
async def test_a_device_that_comes_learns_of_all_devices_of_its_user(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        first = await a.enter(place("k1"))
        second = await b.enter(place("k2", "n2", "laptop"))
        other = await b.enter(place("k3", "n2", user_id="bob"))
    assert first.replaced is None
    assert first.session is None
    assert first.places == (replace(place("k1"), generation=first.generation),)
    assert set(second.places) == {
        *first.places,
        replace(place("k2", "n2", "laptop"), generation=second.generation),
    }
    assert [it.connection_id for it in other.places] == ["k3"]


@on_uvloop
async def test_the_one_who_comes_last_has_the_place_and_learns_whose_it_was(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        first = await a.enter(place("k1"))
        second = await b.enter(place("k2", "n2"))
        third = await a.enter(place("k3", "n1"))
        assert second.replaced == first.places[0]
        assert third.replaced == second.places[0]
        assert first.generation < second.generation < third.generation
        assert (
            await b.places_of("ann") == third.places == (replace(place("k3"), generation=third.generation),)
        )


@on_uvloop
async def test_of_ten_that_come_at_once_each_replaces_another(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        entered = await asyncio.gather(
            *((a if number % 2 else b).enter(place(f"k{number}", f"n{number % 2}")) for number in range(10))
        )
        [left] = await a.places_of("ann")
    replaced = [it.replaced.connection_id for it in entered if it.replaced]
    assert len({it.generation for it in entered}) == 10
    assert {*replaced, left.connection_id} == {f"k{number}" for number in range(10)}
    assert left.generation == max(it.generation for it in entered)


@on_uvloop
async def test_generations_rise_over_a_leave_and_a_flush(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        first = await a.enter(place("k1"))
        a.leave(first.places[0], 300)
        second = await a.enter(place("k2"))
        valkey.flush()
        third = await a.enter(place("k3"))
    assert first.generation < second.generation < third.generation
    assert third.replaced is None


@on_uvloop
async def test_who_left_leaves_the_session_to_the_same_device_on_any_node(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        entered = await a.enter(place("k1"))
        assert await a.last_seen("ann") is None
        a.leave(entered.places[0], 300)
        assert await a.places_of("ann") == ()
        assert await a.last_seen("ann") == pytest.approx(entered.generation / 1000, abs=2000)
        assert (await b.enter(place("k2", "n2", "laptop"))).session is None
        back = await b.enter(place("k3", "n2"))
        assert back.session == LeftSession("session-of-k1", 2)
        assert (await b.enter(place("k4", "n2"))).session is None
        b.forget_user("ann")
        assert await a.last_seen("ann") is None


@on_uvloop
async def test_a_session_ends_with_its_time_to_live(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        a.leave((await a.enter(place("k1"))).places[0], 0.05)
        a.leave((await a.enter(place("k2", client_id="laptop"))).places[0], 0)
        await asyncio.sleep(0.1)
        assert (await a.enter(place("k3"))).session is None
        assert (await a.enter(place("k4", client_id="laptop"))).session is None


@on_uvloop
async def test_who_was_replaced_leaves_nothing_behind(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        old = (await a.enter(place("k1"))).places[0]
        new = (await b.enter(place("k2", "n2"))).places[0]
        a.leave(old, 300)
        a.forget([old])
        assert await a.places_of("ann") == (new,)
        assert await a.last_seen("ann") is None


@on_uvloop
async def test_places_of_a_node_that_is_gone_are_forgotten(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        gone = [(await a.enter(place(f"k{n}", "n2", f"client-{n}"))).generation for n in range(3)]
        places = [replace(place(f"k{n}", "n2", f"client-{n}"), generation=gone[n]) for n in range(3)]
        bob = (await a.enter(place("k9", "n2", user_id="bob"))).places[0]
        a.forget([*places[:2], bob])
        assert await a.places_of("ann") == (places[2],)
        assert await a.places_of("bob") == ()
        assert await a.last_seen("bob") is not None


@on_uvloop
async def test_after_a_flush_places_are_restored_and_the_higher_generation_stays(
    valkey: ValkeyServer,
) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        old = (await a.enter(place("k1"))).places[0]
        mine = replace(
            place("k5", client_id="tablet"),
            generation=(await a.enter(place("k5", client_id="tablet"))).generation,
        )
        new = (await b.enter(place("k2", "n2"))).places[0]
        bob = (await a.enter(place("k9", user_id="bob"))).places[0]
        valkey.flush()
        assert await b.restore([new]) == []
        assert await a.restore([old, mine, bob]) == [old]
        assert set(await a.places_of("ann")) == {new, mine}
        assert await a.places_of("bob") == (bob,)
        valkey.flush()
        assert await a.restore([old]) == []
        assert await b.restore([new]) == []
        assert await a.places_of("ann") == (new,)
        assert await a.restore([old]) == [old]


@on_uvloop
async def test_members_are_those_who_beat_and_did_not_say_goodbye(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        first = await a.beat(member("n2", 3))
        assert not first.was_known
        assert first.members == (member("n2", 3),)
        await asyncio.sleep(0.1)
        second = await b.beat(member("n1"))
        assert [it.node_id for it in second.members] == ["n1", "n2"]
        assert second.members[0].silent == 0
        assert 0.1 <= second.members[1].silent < 5
        assert (await a.beat(member("n2", 4))).was_known
        b.depart("n2")
        assert [it.node_id for it in (await b.beat(member("n1"))).members] == ["n1"]
        valkey.flush()
        assert not (await b.beat(member("n1"))).was_known


@on_uvloop
async def test_a_member_that_is_silent_for_an_hour_is_forgotten(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        await a.beat(member("n2"))
        age(valkey, "chatctl:{nodes}:members", "n2", seconds=3500)
        members = (await a.beat(member("n1"))).members
        assert [round(it.silent, -1) for it in members] == [0, 3500]
        age(valkey, "chatctl:{nodes}:members", "n2", seconds=200)
        assert [it.node_id for it in (await a.beat(member("n1"))).members] == ["n1"]


@on_uvloop
async def test_a_rate_lets_so_many_through_in_any_window_whichever_the_node(valkey: ValkeyServer) -> None:
    rate = Rate("messages", 3, 0.4)
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        answers = [await node.count(rate, "ann") for node in (a, b, a, b, a)]
        assert answers[:3] == [None] * 3
        assert all(wait is not None and 0.2 < wait <= 0.4 for wait in answers[3:])
        assert await a.count(rate, "bob") is None
        assert await a.count(Rate("joins", 1, 0.4), "ann") is None
        await asyncio.sleep(0.41)
        assert await b.count(rate, "ann") is None
        with redis.Redis(port=valkey.port) as client:
            assert client.llen("chatctl:{ann}:rate:messages") <= rate.most


@on_uvloop
async def test_a_message_that_cost_nothing_is_given_back(valkey: ValkeyServer) -> None:
    rate = Rate("messages", 2, 10.0)
    async with backplane(valkey.url()) as a:
        assert [await a.count(rate, "ann") for _ in range(2)] == [None, None]
        a.refund(rate, "ann")
        assert await a.count(rate, "ann") is None
        assert await a.count(rate, "ann") is not None


@on_uvloop
async def test_statuses_of_ais_are_the_same_on_all_nodes(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        a.set_ai_status("ai_x", "away")
        a.set_ai_status("ai_y", "offline")
        await a.last_seen("ann")
        b.set_ai_status("ai_y", None)
        assert await b.ai_statuses() == {"ai_x": "away"}


@on_uvloop
async def test_a_lease_has_one_holder_until_it_ends(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a, backplane(valkey.url()) as b:
        assert await a.take("turn:c", "n1", 10)
        assert not await b.take("turn:c", "n2", 10)
        assert await a.take("turn:c", "n1", 0.1)  # renewed, for another time
        b.release("turn:c", "n2")
        assert not await b.take("turn:c", "n2", 10)
        await asyncio.sleep(0.12)
        assert await b.take("turn:c", "n2", 10)
        a.release("turn:c", "n1")  # it is too late
        assert not await a.take("turn:c", "n1", 10)
        b.release("turn:c", "n2")
        assert (await asyncio.gather(b.take("turn:c", "n2", 10), a.take("turn:c", "n1", 10)))[0]


@on_uvloop
async def test_everything_has_a_time_to_live(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        a.set_ai_status("ai_x", "away")
        await a.beat(member("n1"))
        await a.enter(place("k1"))
        a.leave((await a.enter(place("k2", client_id="laptop"))).places[0], 300)
        await a.restore([replace(place("k3", user_id="bob"), generation=7)])
        await a.count(Rate("messages", 3, 10), "ann")
        await a.take("turn", "n1", 10)
    with redis.Redis(port=valkey.port) as client:
        keys = client.keys()
        assert len(keys) == 8
        assert all(0 < client.ttl(key) <= 30 * 24 * 3600 for key in keys), keys


@on_uvloop
async def test_a_service_without_room_says_so_and_messages_pass_all_the_same(valkey: ValkeyServer) -> None:
    async with backplane(valkey.url()) as a:
        with redis.Redis(port=valkey.port) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(BackplaneUnavailable, match="OOM"):
                    await a.enter(place("k1"))
                await a.subscribe("room")
                assert a.publish("room", b"x")
                assert a.is_connected
            finally:
                client.config_set("maxmemory", 0)
        assert (await a.enter(place("k1"))).generation


def age(valkey: ValkeyServer, key: str, field: str, seconds: int) -> None:
    """Let the entry be so much older."""
    with redis.Redis(port=valkey.port) as client:
        heard, rest = client.hget(key, field).split(b"\0", 1)
        client.hset(key, field, b"%d\0%s" % (int(heard) - seconds * 10**6, rest))
