"""Who is alive, who is gone, and when nobody can tell."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.backplane.redis import RedisBackplane
from server.ports import Member
from server.runtime.base.background import Background
from server.runtime.nodes.members import Members
from tests.support.asynchronous import on_uvloop, until
from tests.support.backplane import backplane, member
from tests.support.tcp_proxy import tcp_proxy
from tests.support.valkey_server import ValkeyServer

TTL = 1.0


class Node:
    """Beats at a backplane of its own. `gone`, `lost`: what it was told."""

    def __init__(self, node_id: str, at: RedisBackplane) -> None:
        self.gone: list[str] = []
        self.lost = 0
        self.connections = 0
        self.backplane = at
        self.members = Members(at, TTL, lambda: self._describe(node_id))
        self.members.when_gone(self.gone.append)
        self.members.when_lost(self._is_lost)
        self.background = Background()
        self.background.run(self.members.run(), "members")

    def _describe(self, node_id: str) -> Member:
        return member(node_id, self.connections)

    def _is_lost(self) -> None:
        self.lost += 1


@asynccontextmanager
async def node(node_id: str, url: str) -> AsyncIterator[Node]:
    async with backplane(url) as opened:
        it = Node(node_id, opened)
        try:
            yield it
        finally:
            await it.background.stop()


async def together(*nodes: Node) -> None:
    await until(lambda: all(len(it.members.alive) == len(nodes) for it in nodes))


@on_uvloop
async def test_each_node_knows_the_others_and_what_they_tell(valkey: ValkeyServer) -> None:
    async with node("a", valkey.url()) as a, node("b", valkey.url()) as b:
        await together(a, b)
        b.connections = 7
        await until(lambda: a.members.known["b"].connections == 7)
        assert {it.node_id for it in a.members.living()} == {"a", "b"}
        assert a.gone == b.gone == []


@on_uvloop
async def test_a_node_that_falls_silent_is_gone_after_its_time_and_still_known(valkey: ValkeyServer) -> None:
    async with node("a", valkey.url()) as a, node("b", valkey.url()) as b:
        await together(a, b)
        await asyncio.sleep(TTL)  # a has just begun to listen, and does not judge yet
        await b.background.stop()
        began = time.monotonic()
        await until(lambda: a.gone == ["b"])
        assert time.monotonic() - began > TTL / 2
        assert a.members.alive == {"a"}
        assert "b" in a.members.known
        assert not a.members.is_alive("b")


@on_uvloop
async def test_a_node_that_says_goodbye_is_gone_at_once_and_not_known(valkey: ValkeyServer) -> None:
    async with node("a", valkey.url()) as a, node("b", valkey.url()) as b:
        await together(a, b)
        await asyncio.sleep(TTL)
        await b.background.stop()
        b.backplane.depart("b")
        began = time.monotonic()
        await until(lambda: a.gone == ["b"])
        assert time.monotonic() - began < TTL
        assert "b" not in a.members.known


@on_uvloop
async def test_nobody_is_gone_because_the_registry_forgot_all(valkey: ValkeyServer) -> None:
    async with node("a", valkey.url()) as a, node("b", valkey.url()) as b:
        await together(a, b)
        await asyncio.sleep(TTL)
        before = a.lost
        for _ in range(5):
            valkey.flush()
            await asyncio.sleep(0.15)
        await until(lambda: a.lost > before and b.lost > 1)
        await asyncio.sleep(1.5 * TTL)
        assert a.gone == b.gone == []
        assert a.members.alive == b.members.alive == {"a", "b"}


@on_uvloop
async def test_nobody_is_gone_because_the_service_stood_still(valkey: ValkeyServer) -> None:
    async with node("a", valkey.url()) as a, node("b", valkey.url()) as b:
        await together(a, b)
        await asyncio.sleep(TTL)
        os.kill(valkey.process.pid, signal.SIGSTOP)
        await asyncio.sleep(1.8 * TTL)
        os.kill(valkey.process.pid, signal.SIGCONT)
        await asyncio.sleep(2.5 * TTL)
        assert a.gone == b.gone == []
        assert a.members.alive == {"a", "b"}


@on_uvloop
async def test_a_node_that_is_cut_off_is_gone_for_the_others_and_learns_that_it_was(
    valkey: ValkeyServer,
) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with node("a", valkey.url()) as a, node("b", valkey.url(proxy.port)) as b:
            await together(a, b)
            await asyncio.sleep(TTL)
            before = b.lost
            proxy.refuse()
            proxy.cut()
            await until(lambda: a.gone == ["b"])
            assert b.members.alive == {"a", "b"}  # it knows nothing new
            proxy.accept()
            await together(a, b)
            await until(lambda: b.lost > before)
            assert b.gone == []


@on_uvloop
async def test_a_node_that_stood_still_learns_that_the_others_took_it_to_be_gone(
    valkey: ValkeyServer,
) -> None:
    async with node("a", valkey.url()) as a:
        await until(lambda: bool(a.members.alive))
        before = a.lost
        time.sleep(1.5 * TTL)  # noqa: ASYNC251  # that is what is tested
        await until(lambda: a.lost > before)
