"""What the server spends on a device that comes back: python -m tests.benchmarks.accepts [--new] [--profile]

From the bytes of the upgrade to the bytes of answer and welcome, with SQLite and its threads but without
sockets: so without the kernel's part. The conversation is known to the store and nobody is in it; with
`--new` it is created. Prints the best of several rounds.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from server.api.proxies import Proxies
from server.logs import configure_logs
from server.main import new_app
from server.settings import load_settings
from server.transport.limits import Limits
from server.transport.uvicorn_server import server_config
from server.wiring import open_services, trusted_proxies

ANSWER = 200  # bytes: to the handshake; the welcome is longer
DEVICES, AT_ONCE, ROUNDS = 2000, 64, 5
UPGRADE = (
    "GET /ws/user-{0}?conversation_id=conv-{0}&client_id=phone&last_seq=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Transport:
    """Counts what is written, and knows who is told what comes."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 50000) if name == "peername" else None

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


def knock(config: uvicorn.Config, state: ServerState, number: int) -> Transport:
    transport = Transport()
    protocol: Any = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]
    transport.protocol = protocol
    protocol.connection_made(transport)
    protocol.data_received(UPGRADE.format(number).encode())
    return transport


async def round_of(
    config: uvicorn.Config, state: ServerState, first: int, profiler: cProfile.Profile
) -> float:
    """Microseconds of CPU for one of DEVICES that come, AT_ONCE at a time; then they leave."""
    transports = []
    gc.collect()
    started = time.process_time()
    profiler.enable()
    for begin in range(first, first + DEVICES, AT_ONCE):
        some = [knock(config, state, n) for n in range(begin, min(begin + AT_ONCE, first + DEVICES))]
        while not all(transport.written > ANSWER for transport in some):  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0)
        transports += some
    profiler.disable()
    spent = time.process_time() - started
    for transport in transports:
        transport.protocol.connection_lost(None)
    await asyncio.sleep(0.1)
    return spent / DEVICES * 1e6


class NoProfile(cProfile.Profile):
    def enable(self, *_: Any) -> None: ...
    def disable(self) -> None: ...


async def measure(folder: str, is_new: bool, is_profiled: bool) -> None:
    changes = {
        "store.url": f"sqlite:///{Path(folder) / 'chat.db'}",
        "rate_limit.enabled": False,
        "connections.max_per_ip": 100_000,
        "ai.responder": "none",
    }
    settings = load_settings(None, changes, {})
    async with open_services(settings) as services:
        proxies = trusted_proxies(settings)
        websockets = Proxies(services.websocket, proxies)
        config = server_config(new_app(settings, proxies), websockets, "127.0.0.1", 0, Limits(65536))
        state = ServerState()
        config.load()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # as server.serving does
        firsts = [number * DEVICES if is_new else 0 for number in range(ROUNDS + 2)]
        await round_of(config, state, firsts.pop(), NoProfile())
        best = min([await round_of(config, state, firsts.pop(), NoProfile()) for _ in range(ROUNDS)])
        print(f"{best:.0f} us of CPU per accept")
        if is_profiled:
            profiler = cProfile.Profile()
            await round_of(config, state, firsts.pop(), profiler)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
            pstats.Stats(profiler).sort_stats("cumtime").print_stats(90)


if __name__ == "__main__":
    configure_logs("warning", "json")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--new", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory() as place, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(place, arguments.new, arguments.profile))
