"""What a backplane does when the service or the wire fails: it comes back by itself, and says so."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from server.backplane.redis import RedisBackplane
from server.ports import BackplaneUnavailable
from tests.support.asynchronous import on_uvloop, until
from tests.support.backplane import Heard, backplane, member, place
from tests.support.certificates import make_certificates
from tests.support.programs import program_or_skip
from tests.support.tcp_proxy import Fate, TcpProxy, Way, tcp_proxy
from tests.support.valkey_server import ADVICE, ValkeyServer, find_program, valkey_server


async def hears(a: RedisBackplane, heard: Heard, text: bytes) -> None:
    """See a message go round."""
    assert a.publish("room", text)
    await until(lambda: text in heard.payloads)


@on_uvloop
async def test_a_connection_that_is_cut_is_made_anew_with_all_its_channels(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        async with backplane(valkey.url(proxy.port), heard) as a:
            for number in range(300):
                await a.subscribe(f"room:{number}")
            await a.subscribe("room")
            a.unsubscribe("room:7")
            proxy.cut()
            await until(lambda: heard.events == ["back", "away", "back"])
            for number in range(300):
                a.publish(f"room:{number}", b"%d" % number)
            await hears(a, heard, b"again")
    assert len(heard.messages) == 300
    assert b"7" not in heard.payloads


@on_uvloop
async def test_between_away_and_back_nothing_is_taken(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        async with backplane(valkey.url(proxy.port), heard) as a:
            proxy.refuse()
            proxy.cut()
            await until(lambda: heard.events == ["back", "away"])
            assert not a.is_connected
            assert not a.publish("room", b"lost")
            with pytest.raises(BackplaneUnavailable):
                await a.subscribe("room")
            with pytest.raises(BackplaneUnavailable):
                await a.enter(place("k1"))
            proxy.accept()
            await until(lambda: a.is_connected)
            await hears(a, heard, b"again")


@on_uvloop
async def test_who_waits_when_the_wire_is_cut_is_told(valkey: ValkeyServer) -> None:
    with tcp_proxy(valkey.port) as proxy:
        async with backplane(valkey.url(proxy.port)) as a:
            proxy.hold(Way.TO_CLIENT)
            waiting = [
                asyncio.ensure_future(it)
                for it in (a.enter(place("k1")), a.subscribe("room"), a.places_of("ann"))
            ]
            await asyncio.sleep(0.05)
            assert not any(it.done() for it in waiting)
            proxy.cut()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(it, BackplaneUnavailable) for it in results), results
            proxy.release()


@pytest.mark.parametrize("ways", [(Way.TO_CLIENT,), (Way.TO_SERVER,), tuple(Way)])
def test_silence_counts_as_a_loss(valkey: ValkeyServer, ways: tuple[Way, ...]) -> None:
    @on_uvloop
    async def silence(proxy: TcpProxy) -> None:
        heard = Heard()
        async with backplane(valkey.url(proxy.port), heard) as a:
            await a.subscribe("room")
            proxy.hold(*ways)
            began = time.monotonic()
            with pytest.raises(BackplaneUnavailable):
                await a.last_seen("ann")
            assert 2 < time.monotonic() - began < 6
            await until(lambda: heard.events == ["back", "away"])
            proxy.release()
            await until(lambda: a.is_connected)
            await hears(a, heard, b"again")

    with tcp_proxy(valkey.port) as proxy:
        silence(proxy)


@on_uvloop
async def test_a_slow_wire_is_no_loss(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        proxy.delay(0.2)
        async with backplane(valkey.url(proxy.port), heard) as a:
            await a.subscribe("room")
            entered = await asyncio.gather(*(a.enter(place(f"k{n}", client_id=f"d{n}")) for n in range(50)))
            assert len(entered[-1].places) == 50
            await hears(a, heard, b"slow")
            await asyncio.sleep(3.5)  # longer than a silence may last
    assert heard.events == ["back"]


@on_uvloop
async def test_a_process_that_stood_still_does_not_take_it_for_the_service(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        await asyncio.sleep(1.1)
        time.sleep(3.5)  # noqa: ASYNC251  # that is what is tested
        await asyncio.sleep(0.2)
        await hears(a, heard, b"still there")
    assert heard.events == ["back"]


@on_uvloop
async def test_a_service_that_is_stopped_is_away_until_it_goes_on(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        os.kill(valkey.process.pid, signal.SIGSTOP)
        try:
            await until(lambda: heard.events == ["back", "away"])
            await asyncio.sleep(1)
            assert not a.is_connected
        finally:
            os.kill(valkey.process.pid, signal.SIGCONT)
        await until(lambda: a.is_connected)
        await hears(a, heard, b"again")


@on_uvloop
async def test_a_service_that_was_restarted_knows_scripts_and_channels_again(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        await a.beat(member("n1"))
        valkey.restart()
        await until(lambda: heard.events == ["back", "away", "back"])
        await hears(a, heard, b"again")
        assert not (await a.beat(member("n1"))).was_known
        assert (await a.enter(place("k1"))).replaced is None


@on_uvloop
async def test_a_flush_is_noticed_by_the_next_beat(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        await a.beat(member("n1"))
        valkey.flush()
        assert not (await a.beat(member("n1"))).was_known
        await hears(a, heard, b"channels are not flushed")
    assert heard.events == ["back"]


@on_uvloop
async def test_scripts_that_the_service_forgot_are_brought_again(valkey: ValkeyServer) -> None:
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        with redis.Redis(port=valkey.port) as client:
            client.script_flush()
        with pytest.raises(BackplaneUnavailable, match="NOSCRIPT"):
            await a.enter(place("k1"))
        await until(lambda: heard.events == ["back", "away", "back"])
        assert (await a.enter(place("k1"))).generation


@on_uvloop
async def test_the_loss_of_the_hearing_connection_alone_is_a_loss(valkey: ValkeyServer) -> None:
    """As where a node reads too slowly, and the service cuts it off."""
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        await a.subscribe("room")
        with redis.Redis(port=valkey.port) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: heard.events == ["back", "away", "back"])
        await hears(a, heard, b"again")


@on_uvloop
async def test_a_subscription_whose_answer_is_lost_is_made_by_the_next_connection(
    valkey: ValkeyServer,
) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy:
        async with backplane(valkey.url(proxy.port), heard) as a:
            proxy.spoil_answer(b"SUBSCRIBE", Fate.LOST)
            with pytest.raises(BackplaneUnavailable):
                await a.subscribe("room")
            await until(lambda: heard.events == ["back", "away", "back"])
            await hears(a, heard, b"heard")


@on_uvloop
async def test_a_replica_is_not_stayed_with(valkey: ValkeyServer) -> None:
    """As after a failover, behind an address that now leads to another server."""
    heard = Heard()
    async with backplane(valkey.url(), heard) as a:
        with redis.Redis(port=valkey.port) as client:
            client.replicaof("127.0.0.1", "1")
            try:
                with pytest.raises(BackplaneUnavailable, match="READONLY"):
                    await a.enter(place("k1"))
                await until(lambda: heard.events[:2] == ["back", "away"])
            finally:
                client.replicaof("NO", "ONE")
        await until(lambda: a.is_connected)
        assert (await a.enter(place("k1"))).generation


@on_uvloop
async def test_tls_is_spoken_with_those_who_can_prove_who_they_are(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    heard, doubtful = Heard(), Heard()
    with tcp_proxy(valkey.port, certificates.server) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}"
        async with backplane(f"{url}?ssl_ca_certs={certificates.authority}", heard) as a:
            await a.subscribe("room")
            await hears(a, heard, b"secret")
            proxy.cut()
            await until(lambda: heard.events == ["back", "away", "back"])
            await hears(a, heard, b"again")
        async with backplane(url, doubtful) as b:
            assert not b.is_connected
    assert doubtful.events == []


@on_uvloop
async def test_why_it_cannot_be_reached_is_said_once(valkey: ValkeyServer) -> None:
    heard = Heard()
    with tcp_proxy(valkey.port) as proxy, capture_logs() as logs:
        proxy.refuse()
        async with backplane(valkey.url(proxy.port), heard):
            await asyncio.sleep(0.5)  # some tries more
            proxy.accept()
            await until(lambda: heard.events == ["back"])
            proxy.refuse()
            proxy.cut()
            await asyncio.sleep(0.5)
    told = [entry["event"] for entry in logs]
    unreachable = "the backplane cannot be reached"
    assert told == [unreachable, "the backplane is there", "the backplane is lost", unreachable]


def test_a_password_is_asked_for() -> None:
    @on_uvloop
    async def log_in(server: ValkeyServer) -> None:
        right, wrong = Heard(), Heard()
        address = server.url().removeprefix("redis://")
        async with backplane(f"redis://:s3cret@{address}/3", right) as a:
            assert (await a.enter(place("k1"))).generation
        async with backplane(f"redis://:wrong@{address}", wrong) as b:
            assert not b.is_connected
        assert (right.events, wrong.events) == (["back"], [])

    program = program_or_skip(find_program, ADVICE)
    with valkey_server(program, "--requirepass", "s3cret") as server:
        log_in(server)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://host", "redis\\+cluster:// is not built yet"),
        ("rediss://host?ssl_ca_certs=/no/such/file", "No such file"),
        ("redis://host?db=many", "db"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_a_line(url: str, words: str) -> None:
    @on_uvloop
    async def make() -> None:
        with pytest.raises(BackplaneUnavailable, match=words) as refused:
            async with backplane(url):
                pass
        assert "\n" not in str(refused.value)

    make()
