"""Two real servers, and all that can happen to them, to the backplane and to the database between them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.protocol import CloseCode
from tests.support.asynchronous import asynchronous, until
from tests.support.device import CONVERSATION
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server
from tests.support.talker import Talker, check, talkers
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.valkey_server import ValkeyServer

NODE_TTL = 1.0
_SOON = 15.0


@dataclass
class Scene:
    """Two nodes; the second one reaches the backplane by a proxy."""

    nodes: list[RunningServer]
    proxy: TcpProxy
    valkey: ValkeyServer
    postgres: PostgresServer

    def stored(self) -> dict[str, int]:
        found: dict[str, int] = {}
        while True:
            query = f"?after_seq={len(found)}&limit=200"
            page = self.nodes[-1].get(f"/api/conversations/{CONVERSATION}/messages{query}").json()["items"]
            if not page:
                return found
            found |= {frame["message_id"]: frame["seq"] for frame in page}


@pytest.fixture
def scene(tmp_path: Path, postgres: PostgresServer, postgres_database: str, valkey: ValkeyServer):  # type: ignore[no-untyped-def]
    with ExitStack() as stack:
        proxy = stack.enter_context(tcp_proxy(valkey.port))
        nodes = [
            stack.enter_context(
                running_server(
                    tmp_path,
                    store__url=postgres.url(postgres_database),
                    store__timeout=2.0,
                    backplane__url=valkey.url(port),
                    backplane__node_ttl=NODE_TTL,
                    rate_limit__enabled=False,
                )
            )
            for port in (valkey.port, proxy.port)
        ]
        yield Scene(nodes, proxy, valkey, postgres)


async def _all_is_well(scene: Scene, devices: list[Talker]) -> None:
    """Wait until all have fallen silent, are answered and up to date, then compare."""
    for device in devices:
        device.fall_silent()
    await until(lambda: not any(device.unanswered for device in devices), _SOON)
    stored = await asyncio.to_thread(scene.stored)
    await until(lambda: all(len(device.heard) >= len(stored) for device in devices), _SOON)
    check(devices, stored)


@asynccontextmanager
async def _talk(scene: Scene) -> AsyncIterator[list[Talker]]:
    """Devices on both nodes talk while the body runs; then all has to be well. Each says a last word."""
    async with talkers(scene.nodes) as devices:
        for device in devices:
            device.talk()
        await until(lambda: all(len(device.heard) > 5 for device in devices), _SOON)
        yield devices
        await _all_is_well(scene, devices)


def _restart_valkey(scene: Scene) -> None:
    scene.valkey.stop()
    scene.valkey.start()


def _flush(scene: Scene) -> None:
    scene.valkey.flush()


def _cut_one_off(scene: Scene) -> None:
    scene.proxy.refuse()
    scene.proxy.cut()


def _cut_connections(scene: Scene) -> None:
    scene.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'")


def _restart_postgres(scene: Scene) -> None:
    scene.postgres.restart(signal.SIGINT)


def _restart_both(scene: Scene) -> None:
    scene.valkey.stop()
    scene.postgres.restart(signal.SIGQUIT)
    scene.valkey.start()


def _slow(scene: Scene) -> None:
    scene.proxy.delay(0.1)


@pytest.mark.parametrize(
    "fault", [_restart_valkey, _flush, _slow, _cut_connections, _restart_postgres, _restart_both]
)
@asynchronous
async def test_what_was_acked_is_on_all_devices_once_and_in_order(
    scene: Scene, fault: Callable[[Scene], None]
) -> None:
    async with _talk(scene) as devices:
        before = len(devices[0].acked)
        await asyncio.to_thread(fault, scene)
        await until(lambda: len(devices[0].acked) > before + 10, _SOON)


@asynchronous
async def test_a_node_that_is_cut_off_serves_its_devices_and_catches_up(scene: Scene) -> None:
    async with _talk(scene) as devices:
        _cut_one_off(scene)
        before = [len(device.acked) for device in devices]
        await until(lambda: all(len(d.acked) > n + 10 for d, n in zip(devices, before, strict=True)), _SOON)
        health = scene.nodes[1].get("/health")
        assert (health.status_code, health.json()["checks"]["backplane"]) == (200, "unavailable")
        scene.proxy.accept()


@asynchronous
async def test_the_last_words_said_while_the_backplane_was_away_reach_everybody(scene: Scene) -> None:
    async with talkers(scene.nodes) as devices:
        await asyncio.to_thread(scene.valkey.stop)
        for device in devices:
            await device.say()
        await until(lambda: not any(device.unanswered for device in devices), _SOON)
        await asyncio.to_thread(scene.valkey.start)
        await _all_is_well(scene, devices)


@asynchronous
async def test_while_the_database_is_down_nothing_is_acked_and_nothing_is_lost(scene: Scene) -> None:
    async with _talk(scene) as devices:
        await asyncio.to_thread(scene.postgres.stop, signal.SIGQUIT)
        try:
            await until(lambda: all(device.nacked for device in devices), _SOON)
        finally:
            await asyncio.to_thread(scene.postgres.start)
        before = len(devices[1].acked)
        await until(lambda: len(devices[1].acked) > before + 10, _SOON)


@asynchronous
async def test_a_killed_nodes_devices_go_on_elsewhere_and_leave_the_counts(scene: Scene) -> None:
    async with talkers(reversed(scene.nodes)) as (laptop, phone):
        watch = Talker("watch")
        await watch.join(scene.nodes[0])
        phone.talk()
        laptop.talk()
        await until(lambda: len(laptop.heard) > 10, _SOON)
        scene.nodes[0].kill()
        await until(lambda: phone.close_code is not None, _SOON)
        phone.fall_silent()
        await watch.leave()
        welcome = await phone.join(scene.nodes[1])
        assert welcome["resumed"]
        before = len(phone.acked)
        phone.talk()
        await until(lambda: len(phone.acked) > before + 10, _SOON)
        await until(lambda: laptop.devices == 2, _SOON)
        backplane = scene.nodes[1].get("/stats").json()["backplane"]
        assert (backplane["backend"], backplane["status"], backplane["nodes"]) == ("redis", "ok", 1)
        assert sorted(member["status"] for member in backplane["members"]) == ["down", "ok"]
        await _all_is_well(scene, [phone, laptop])


@asynchronous
async def test_a_node_that_was_stopped_and_wakes_does_not_go_on_as_if_nothing_had_been(scene: Scene) -> None:
    async with talkers(scene.nodes) as (phone, laptop):
        watch = Talker("watch")
        await watch.join(scene.nodes[0])
        await laptop.say()
        await until(lambda: watch.heard == [1], _SOON)
        scene.nodes[0].process.send_signal(signal.SIGSTOP)
        try:
            await until(lambda: laptop.devices == 1, _SOON)
            again = Talker("device0")
            await again.join(scene.nodes[1])
            for _ in range(3):
                await again.say()
            await until(lambda: again.heard == [1, 2, 3, 4], _SOON)
        finally:
            scene.nodes[0].process.send_signal(signal.SIGCONT)
        await until(lambda: phone.close_code == CloseCode.REPLACED, _SOON)
        await until(lambda: watch.heard == [1, 2, 3, 4], _SOON)
        await until(lambda: laptop.devices == watch.devices == 3, _SOON)
        assert again.close_code is None
        await _all_is_well(scene, [again, laptop, watch])
        for talker in (again, watch):
            await talker.leave()


@asynchronous
async def test_a_node_that_ends_in_good_order_costs_no_message_and_is_not_counted_any_more(
    scene: Scene,
) -> None:
    async with talkers(scene.nodes) as (phone, laptop):
        phone.talk()
        laptop.talk()
        await until(lambda: len(laptop.heard) > 10, _SOON)
        assert await asyncio.to_thread(scene.nodes[0].terminate) == 0
        phone.fall_silent()
        await until(lambda: phone.close_code is not None, _SOON)
        assert phone.close_code == CloseCode.GOING_AWAY
        await until(lambda: laptop.devices == 1, NODE_TTL)
        welcome = await phone.join(scene.nodes[1])
        assert welcome["resumed"] and welcome["devices"] == 2
        await _all_is_well(scene, [phone, laptop])
