"""What the benchmark measures, case by case, each on a fresh server with an empty database."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import uvloop

from loadtest.bench.process import cpu_seconds, resident_bytes
from loadtest.bench.room import Measurement, Room, clock
from loadtest.local_server import LocalServer, local_server

CONVERSATIONS: Final = 100
IN_FLIGHT: Final = 2
DEFAULT_CASES: Final = ("D1", "D3", "D10", "rate1000", "idle2000")
CASES_HELP: Final = "D<devices>: closed loop; rate<messages a second>: Poisson arrivals; idle<connections>"

_CONNECTING_AT_ONCE: Final = 64
_WARM_UP: Final = 1.0
_OPENING: Final = 30.0
_LAST_ANSWERS: Final = 5.0
_IDLE_HOLD: Final = 2.0
_DEVICES_AT_A_RATE: Final = 3
_CASE: Final = re.compile(r"(D|rate|idle)([1-9]\d{0,5})")


@dataclass(slots=True)
class Outcome:
    """One run of a case.

    Attributes:
        figures: By name, in the units the names tell; None where this system does not tell.
        faults: What went wrong, by kind: figures of a run with any mean nothing.
        generator_cpu: This process's part of a CPU in the measured time, in percent.
    """

    figures: dict[str, float | None]
    faults: Counter[str] = field(default_factory=Counter)
    generator_cpu: float = 0.0


def is_case(name: str) -> bool:
    return _CASE.fullmatch(name) is not None


def run_case(name: str, seconds: float, settings: Mapping[str, str] | None = None) -> Outcome:
    """Runs it once, on a server of its own; `settings` are further ones, as environment variables.

    Raises:
        ServerFailed: It did not start.
        TimeoutError: It did not let the connections in.
    """
    kind, number = _parts(name)
    with local_server(settings or {}) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(kind, number, server, seconds))


def _parts(name: str) -> tuple[str, int]:
    match = _CASE.fullmatch(name)
    assert match is not None
    return match[1], int(match[2])


def _measure(kind: str, number: int, server: LocalServer, seconds: float) -> Coroutine[None, None, Outcome]:
    match kind:
        case "D":
            return _closed_loop(server, seconds, devices=number)
        case "rate":
            return _open_loop(server, seconds, rate=number)
        case _:
            return _idle(server, connections=number)


async def _closed_loop(server: LocalServer, seconds: float, devices: int) -> Outcome:
    """As much as goes: whenever a message is complete its conversation sends the next one."""
    measurement = Measurement()
    is_sending = True

    def go_on(room: Room) -> None:
        if is_sending:
            room.send(clock())

    rooms = [Room(number, devices, measurement, go_on) for number in range(CONVERSATIONS)]
    await _open(rooms, server.url)
    for room in rooms:
        for _ in range(IN_FLIGHT):
            room.send(clock())
    outcome = await _measured(measurement, server, seconds)
    is_sending = False
    await _finish(rooms, measurement)
    return outcome


async def _open_loop(server: LocalServer, seconds: float, rate: int) -> Outcome:
    """Messages are due at random times, whatever the server does."""
    measurement = Measurement()
    rooms = [Room(number, _DEVICES_AT_A_RATE, measurement, lambda _: None) for number in range(CONVERSATIONS)]
    await _open(rooms, server.url)
    arrivals = asyncio.create_task(_arrive(rooms, rate))
    outcome = await _measured(measurement, server, seconds)
    arrivals.cancel()
    await _finish(rooms, measurement)
    outcome.figures |= _latencies(measurement)
    return outcome


async def _arrive(rooms: list[Room], rate: int) -> None:
    due = clock()
    while True:
        due += random.expovariate(rate)
        if (wait := due - clock()) > 0:
            await asyncio.sleep(wait)
        random.choice(rooms).send(due)


async def _idle(server: LocalServer, connections: int) -> Outcome:
    """Connections that send nothing: how fast they are accepted, and what each costs."""
    measurement = Measurement()
    before, began = resident_bytes(server.pid), clock()
    rooms = [Room(number, 1, measurement, lambda _: None) for number in range(connections)]
    await _open(rooms, server.url)
    accepting = clock() - began
    await asyncio.sleep(_IDLE_HOLD)
    after = resident_bytes(server.pid)
    await _finish(rooms, measurement)
    memory = None if before is None or after is None else (after - before) / connections / 1024
    return Outcome({"accepts_s": connections / accepting, "kib_per_connection": memory}, measurement.faults)


async def _open(rooms: list[Room], url: str) -> None:
    turns = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def open_one(room: Room) -> None:
        async with turns, asyncio.timeout(_OPENING):
            await room.open(url)

    await asyncio.gather(*(open_one(room) for room in rooms))


async def _measured(measurement: Measurement, server: LocalServer, seconds: float) -> Outcome:
    """Lets the load run: first to warm up, then measured."""
    await asyncio.sleep(_WARM_UP)
    began, own_cpu, server_cpu = clock(), time.process_time(), cpu_seconds(server.pid)
    measurement.measuring = True
    await asyncio.sleep(seconds)
    measurement.measuring = False
    took = clock() - began
    spent = cpu_seconds(server.pid)
    busy = None if spent is None or server_cpu is None else spent - server_cpu
    done = measurement.completed
    return Outcome(
        {"msgs_s": done / took, "cpu_us_msg": busy * 1e6 / done if busy is not None and done else None},
        measurement.faults,
        100 * (time.process_time() - own_cpu) / took,
    )


async def _finish(rooms: list[Room], measurement: Measurement) -> None:
    """Waits for the last answers, counts what did not come, and closes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_ANSWERS):
            for room in rooms:
                await room.empty.wait()
    missing = sum(len(room.pending) for room in rooms)
    if missing:
        measurement.faults["missing"] += missing
    for room in rooms:
        room.close()


def _latencies(measurement: Measurement) -> dict[str, float | None]:
    return {
        "ack_p50_ms": _percentile(measurement.ack, 50),
        "ack_p99_ms": _percentile(measurement.ack, 99),
        "delivery_p99_ms": _percentile(measurement.delivery, 99),
    }


def _percentile(seconds: list[float], percent: int) -> float | None:
    """In ms; the nearest rank."""
    if not seconds:
        return None
    rank = -(-len(seconds) * percent // 100)
    return sorted(seconds)[rank - 1] * 1e3
