"""Devices of one conversation on several nodes: replaced, counted, resumed, and closed from anywhere."""

import asyncio
from typing import Any

import pytest

from server.core.breaker import Breaker
from server.core.join_request import Refusal
from server.protocol import CloseCode
from server.runtime.answers.events import Events
from server.runtime.answers.gate import Gate
from server.runtime.rooms.room import Connection
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous, until
from tests.support.device import CONVERSATION
from tests.support.nodes import StageNode, nodes
from tests.support.stage import FakeSocket
from tests.support.tcp_proxy import tcp_proxy
from tests.support.valkey_server import ValkeyServer


def live(stages: list[StageNode], client_id: str) -> list[Connection]:
    return [c for stage in stages for c in stage.manager.connections() if c.info.client_id == client_id]


@asynchronous
async def test_a_device_that_comes_to_another_node_is_closed_on_the_old_one_before_its_welcome(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        old = await one.join("phone")
        new = await two.join("phone")
        assert old.socket.closed == (CloseCode.REPLACED, "this device connected again")
        assert new.welcome["devices"] == 1
        back = await one.join("phone", session_id=new.welcome["session_id"])
        assert new.socket.closed is not None
        assert back.welcome["resumed"]


@asynchronous
@pytest.mark.parametrize("delay", [0.0, 0.01])
async def test_of_ten_connections_of_a_device_at_once_on_two_nodes_one_stays(
    valkey: ValkeyServer, delay: float
) -> None:
    with tcp_proxy(valkey.port) as proxy:
        proxy.delay(delay)
        async with nodes(MemoryStore(), valkey.url(), valkey.url(proxy.port)) as stages:
            sockets = [FakeSocket() for _ in range(10)]
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, len(live(stages, "phone")))
                    await asyncio.sleep(0)

            watcher = asyncio.create_task(watch())
            answers = await asyncio.gather(
                *(stages[number % 2].ask_to_join(socket, "phone") for number, socket in enumerate(sockets))
            )
            watcher.cancel()
            (left,) = live(stages, "phone")
            assert most == 1
            assert left in answers
            for answer in answers:
                is_refused = isinstance(answer, Refusal) and answer.code == CloseCode.REPLACED
                assert answer is left or is_refused or answer.close_code == CloseCode.REPLACED  # type: ignore[union-attr]


@asynchronous
async def test_devices_on_all_nodes_are_counted_and_changes_are_told(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone = await one.join("phone")
        laptop = await two.join("laptop")
        assert laptop.welcome["devices"] == 2
        await until(lambda: phone.device_counts == [2])
        tablet = await one.join("tablet")
        assert tablet.welcome["devices"] == 3
        await until(lambda: laptop.device_counts == [3])
        phone.connection.on_closed(1000)
        await until(lambda: laptop.device_counts == [3, 2] and tablet.device_counts == [2])


@asynchronous
async def test_a_device_that_changes_nodes_changes_no_count(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), valkey.url()) as (one, two, three):
        await one.join("phone")
        watch = await three.join("watch")
        tablet = await two.join("tablet")
        await until(lambda: watch.device_counts == [3])
        again = await two.join("phone")
        assert again.welcome["devices"] == 3
        await asyncio.sleep(0.2)
        assert (watch.device_counts, tablet.device_counts) == ([3], [])


@asynchronous
async def test_a_session_is_resumed_on_another_node_and_counts_as_reconnection(
    valkey: ValkeyServer,
) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone = await one.join("phone")
        phone.connection.on_closed(1006)
        again = await two.join("phone", session_id=phone.welcome["session_id"])
        assert again.welcome["resumed"]
        assert again.welcome["session_id"] == phone.welcome["session_id"]
        assert two.metrics.reconnections == 1
        again.connection.on_closed(1006)
        third = await one.join("phone", session_id="another")
        assert not third.welcome["resumed"]
        assert third.connection.info.reconnects == 2


@asynchronous
async def test_a_user_has_no_more_devices_than_may_be_over_all_nodes(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), max_per_user=2) as (one, two):
        await one.join("phone")
        laptop = await two.join("laptop")
        refusal = await one.ask_to_join(FakeSocket(), "tablet")
        assert isinstance(refusal, Refusal)
        assert refusal.label == "max_per_user"
        await one.join("laptop")
        assert laptop.socket.closed is not None


@asynchronous
async def test_an_operator_closes_a_connection_from_whatever_node(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        await until(lambda: len(two.node.cluster.members.alive) == 2)  # type: ignore[union-attr]
        phone = await one.join("phone")
        id = phone.connection.info.connection_id
        assert await two.node.kick(id)
        assert phone.socket.closed == (CloseCode.NORMAL, "closed by an operator")
        assert not await two.node.kick(id)
        assert not await two.node.kick("unknown")


@asynchronous
async def test_presence_and_last_seen_are_those_of_all_nodes(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        assert await two.node.presence.of("kai") == (0, None)
        phone, _ = await one.join("phone"), await one.join("laptop", conversation="other_ai_alex")
        assert (await two.node.presence.of("kai")).devices == 2
        phone.connection.on_closed(1000)
        await two.join("watch")
        await until(lambda: len(two.manager.devices_of("kai")) == 1)
        assert (await one.node.presence.of("kai")).devices == 2
        for stage in (one, two):
            for connection in list(stage.manager.connections()):
                connection.on_closed(1000)
        gone = await two.node.presence.of("kai")
        assert gone.devices == 0 and gone.last_seen is not None
        one.node.presence.forget("kai")
        await asyncio.sleep(0.05)
        assert await two.node.presence.of("kai") == (0, None)
        assert [event for event in two.metrics.events if event.get("user_id") == "kai"] == []


@asynchronous
async def test_a_deleted_conversation_is_closed_on_all_nodes_and_may_begin_anew(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url(), node_ttl=60.0) as (one, two):
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await one.conversations.delete([CONVERSATION])
        await until(lambda: laptop.socket.closed == (CloseCode.NORMAL, "the conversation was deleted"))
        assert phone.socket.closed == laptop.socket.closed
        again, other = await two.join("laptop"), await one.join("phone")
        again.say("m1")
        await until(lambda: other.seen == [1])
        assert again.welcome["epoch"] == other.welcome["epoch"] != laptop.welcome["epoch"]


@asynchronous
async def test_without_a_backplane_a_node_takes_devices_and_the_newest_stays_when_it_is_back(
    valkey: ValkeyServer,
) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with nodes(MemoryStore(), valkey.url(), valkey.url(proxy.port)) as (one, two):
            old = await one.join("phone")
            proxy.refuse()
            proxy.cut()
            await until(lambda: not two.backplane.is_connected)
            await two.join("phone")
            assert len(live([one, two], "phone")) == 2
            proxy.accept()
            await until(lambda: len(live([one, two], "phone")) == 1)
            assert old.socket.closed == (CloseCode.REPLACED, "this device connected again")


@asynchronous
async def test_a_flush_of_the_backplane_costs_no_place(valkey: ValkeyServer) -> None:
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        phone = await one.join("phone")
        valkey.flush()
        await asyncio.sleep(0.3)
        laptop = await two.join("laptop")
        assert laptop.welcome["devices"] == 2
        again = await two.join("phone")
        assert phone.socket.closed is not None and again.socket.closed is None


class Notes:
    """Implements Notifier: keeps the events' names."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def notify(self, event: str, data: dict[str, Any], event_id: str) -> None:
        self.events.append(event)


@asynchronous
async def test_a_user_with_devices_on_two_nodes_comes_online_once_and_goes_offline_once(
    valkey: ValkeyServer,
) -> None:
    notes = Notes()
    async with nodes(MemoryStore(), valkey.url(), valkey.url()) as (one, two):
        for stage in (one, two):
            wanted = frozenset({"user_online", "user_offline"})
            gate = Gate(Breaker(1))
            gate.open()
            events = Events(notes, gate, stage.node.ids, stage.metrics, wanted)
            events.listen(stage.manager, stage.node.typing, stage.node.receipts)
            events.start(stage.background)
        phone, laptop = await one.join("phone"), await two.join("laptop")
        await until(lambda: phone.connection.room.elsewhere == 1)
        phone.connection.on_closed(1000)
        await until(lambda: laptop.connection.room.elsewhere == 0)
        laptop.connection.on_closed(1000)
        await until(lambda: len(notes.events) == 2)
        await asyncio.sleep(0.05)
        assert notes.events == ["user_online", "user_offline"]


@asynchronous
async def test_who_gives_up_while_it_comes_in_leaves_no_place_behind(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with nodes(MemoryStore(), valkey.url(), valkey.url(proxy.port)) as (one, two):
            await two.join("watch")
            proxy.delay(0.1)
            joining = asyncio.create_task(two.ask_to_join(FakeSocket(), "phone"))
            await asyncio.sleep(0.15)
            joining.cancel()
            await asyncio.wait([joining])
            await asyncio.sleep(0.5)
            assert (await one.node.presence.of("kai")).devices == 1
