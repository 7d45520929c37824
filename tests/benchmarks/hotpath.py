"""What the event loop spends on a message: python -m tests.benchmarks.hotpath [--devices 3] [--profile]

From the bytes of a frame to the bytes handed to each device's transport, with the store in memory
and without sockets: so without the kernel's and SQLite's part. Prints the best of several rounds.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import time
import uuid
from typing import Any

import uvloop

from server.core.join_request import JoinRequest, Refusal
from server.core.timestamps import rfc3339
from server.logs import configure_logs
from server.settings import load_settings
from server.transport.limits import Limits
from server.transport.websocket_protocol import WebSocketProtocol
from server.wiring import Services, open_services

CONVERSATIONS, MESSAGES, ROUNDS = 100, 200, 6
TEXT = ("hello there my dear companion how are you feeling today " * 2)[:100]
SETTINGS = {"store.url": "memory://", "rate_limit.enabled": False, "connections.max_per_ip": 10_000}


class Transport:
    """Takes writes and forgets them."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None: ...


def masked_frame(payload: bytes) -> bytes:
    """A text frame of 126 to 65535 bytes as a client sends it; a mask of zeros changes nothing."""
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def chat_frame(conversation: int) -> bytes:
    frame = {
        "type": "CHAT_MESSAGE",
        "message_id": str(uuid.uuid4()),
        "conversation_id": f"conv-{conversation}",
        "data": TEXT,
        "timestamp": rfc3339(time.time_ns() // 1_000_000),
    }
    return masked_frame(json.dumps(frame).encode())


async def join(services: Services, conversation: int, device: int) -> WebSocketProtocol:
    transport: Any = Transport()
    protocol = WebSocketProtocol(transport, asyncio.get_running_loop(), Limits(65536))
    name = f"conv-{conversation}"
    request = JoinRequest(f"user-{conversation}", name, f"dev-{device}", None, None, None, "127.0.0.1")
    connection = await services.node.joins.join(request, protocol)
    assert not isinstance(connection, Refusal)
    await protocol.attach(connection)
    return protocol


async def round_of(senders: list[WebSocketProtocol]) -> float:
    """Seconds of CPU for MESSAGES messages of each sender."""
    turns = [[chat_frame(c) for c in range(CONVERSATIONS)] for _ in range(MESSAGES)]
    started = time.process_time()
    for turn in turns:
        for sender, frame in zip(senders, turn, strict=True):
            sender.data_received(frame)
        for _ in range(4):  # the batch starts, is saved, settled, flushed
            await asyncio.sleep(0)
    return time.process_time() - started


async def measure(devices: int, profile: bool) -> None:
    async with open_services(load_settings(None, SETTINGS, {})) as services:
        rooms = [[await join(services, c, d) for d in range(devices)] for c in range(CONVERSATIONS)]
        senders = [room[0] for room in rooms]
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # as server.main does
        best = min([await round_of(senders) for _ in range(ROUNDS)])
        print(f"{best / MESSAGES / CONVERSATIONS * 1e6:.1f} us of CPU per message, {devices} devices")
        if profile:
            profiler = cProfile.Profile()
            profiler.enable()
            await round_of(senders)
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    configure_logs("warning", "json")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(arguments.devices, arguments.profile))
