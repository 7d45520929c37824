"""The longest stall of the event loop while something goes to many: python -m tests.benchmarks.stalls

Connections of another process, each of a user of its own, to a real server in this one. A stall is how much
later than asked a sleeper wakes that asks for a millisecond, again and again. [--connections 10000]
"""

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import uvloop
from fastapi import FastAPI

from loadtest.bench.connection import Connection
from loadtest.free_port import free_port
from server.api.ai_signals import AIStatusChange
from server.api.operations import Announcement
from server.logs import configure_logs
from server.main import add_routes
from server.settings import load_settings
from server.transport.limits import Limits
from server.transport.uvicorn_server import Server, server_config
from server.wiring import Services, open_services

SETTINGS: Final = {
    "store.url": "memory://",
    "connections.max_total": 100_000,
    "connections.max_per_ip": 100_000,
    "heartbeat.interval": 1000.0,  # only when the benchmark wants it
    "heartbeat.timeout": 2000.0,
}
CONNECTING_AT_ONCE: Final = 64
QUIET_SECONDS: Final = 0.5
SLEEP: Final = 0.001
LONGEST_SWEEP_PAUSE: Final = 1.0


class Probe:
    """`longest`: seconds, since the last reset."""

    longest = 0.0

    async def run(self) -> None:
        while True:
            asked = time.perf_counter() + SLEEP
            await asyncio.sleep(SLEEP)
            self.longest = max(self.longest, time.perf_counter() - asked)


async def be_the_clients(port: int, count: int) -> None:
    """Tells by a line when all are welcomed, then stays until its standard input ends."""
    limit, welcomed = asyncio.Semaphore(CONNECTING_AT_ONCE), 0
    all_are_in = asyncio.Event()

    async def connect(number: int) -> Connection:
        first = asyncio.Event()

        def received(payload: bytes) -> None:
            nonlocal welcomed
            if not first.is_set():
                first.set()
                welcomed += 1
                if welcomed == count:
                    all_are_in.set()

        url = f"ws://127.0.0.1:{port}/ws/u{number}?conversation_id=c{number}"
        async with limit:
            connection = await Connection.open(url, received, lambda: None)
            await first.wait()
            return connection

    connections = await asyncio.gather(*(connect(number) for number in range(count)))
    await all_are_in.wait()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    del connections


@asynccontextmanager
async def clients(port: int, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.stalls", "--connections", str(count), "--port", str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise SystemExit("the clients could not connect: see `ulimit -n`")
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


class Benchmark:
    """A server with its probe."""

    def __init__(self, services: Services, port: int, count: int) -> None:
        self._services = services
        self._manager = services.node.manager
        self._port = port
        self._count = count
        self._probe = Probe()

    async def run(self) -> None:
        probing = asyncio.create_task(self._probe.run())
        print(f"{self._count} connections; the longest stall of the loop during")
        async with clients(self._port, self._count) as process:
            await self._report("nothing", asyncio.sleep(1))
            await self._report("an announcement to all", self._announce())
            await self._report("an AI's status to all", self._tell_status())
            await self._report("a PING due everywhere", self._ping())
            await self._report("the loss of all connections", self._lose(process))
        async with clients(self._port, self._count):
            await self._report("a drain at 100,000 a second", self._services.node.shutdown.empty(100_000))
        async with clients(self._port, self._count):
            await self._report("a shutdown", self._services.node.shutdown.drain())
        probing.cancel()

    async def _report(self, what: str, work: Coroutine[Any, Any, object]) -> None:
        await asyncio.sleep(QUIET_SECONDS)
        started, self._probe.longest = time.perf_counter(), 0.0
        await work
        took = time.perf_counter() - started
        await asyncio.sleep(QUIET_SECONDS)
        print(f"{what:<30}{1e3 * self._probe.longest:6.1f} ms, done after {took:.2f} s")

    async def _announce(self) -> None:
        told = await self._services.operations.announce(Announcement(data="hello"))
        assert told.delivered_to == self._count

    async def _tell_status(self) -> None:
        told = await self._services.ai_signals.status(AIStatusChange(ai_id="ai", status="away"))
        assert told.delivered_to == self._count

    async def _ping(self) -> None:
        for connection in self._manager.connections():
            connection.info.last_ping = 0.0
        await asyncio.sleep(LONGEST_SWEEP_PAUSE)

    async def _lose(self, process: asyncio.subprocess.Process) -> None:
        process.kill()
        while self._manager.current:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def measure(count: int) -> None:
    port, ready = free_port(), asyncio.Event()
    async with open_services(load_settings(None, SETTINGS, {})) as services:
        app = FastAPI()
        add_routes(app, services)
        config = server_config(app, services.websocket, "127.0.0.1", port, Limits(65536))
        server = Server(config, services.node.shutdown.drain, 10.0, lambda host, port: ready.set())
        serving = asyncio.create_task(server.serve())
        await ready.wait()
        await Benchmark(services, port, count).run()
        server.should_exit = True
        await serving


if __name__ == "__main__":
    configure_logs("warning", "json")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--port", type=int, help="be the clients of a server there")
    arguments = parser.parse_args()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as server.main does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments.port:
            runner.run(be_the_clients(arguments.port, arguments.connections))
        else:
            runner.run(measure(arguments.connections))
