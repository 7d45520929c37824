"""What the benchmark measures, case by case, each on a fresh server with an empty database."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import uvloop

from loadtest.bench.process import cpu_seconds, resident_bytes
from loadtest.bench.room import Measurement, Room, clock
from loadtest.cluster.cluster import cluster
from loadtest.cluster.postgres import Postgres
from loadtest.local_server import local_server

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


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: nodes at `urls`, and the services beside them if any."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    postgres: Postgres | None = None
    valkey: int | None = None  # its pid

    def cpu(self) -> dict[str, float | None]:
        """CPU seconds that each part has used, by the name of its figure."""
        spent = {"cpu_us_msg": _cpu_of(self.pids)}
        if self.postgres is not None:
            spent["postgres_us_msg"] = _cpu_of(self.postgres.pids)
        if self.valkey is not None:
            spent["valkey_us_msg"] = _cpu_of((self.valkey,))
        return spent


def _cpu_of(pids: Sequence[int]) -> float | None:
    known = [spent for pid in pids if (spent := cpu_seconds(pid)) is not None]
    return sum(known) if known else None


def is_case(name: str) -> bool:
    return _CASE.fullmatch(name) is not None


def run_case(
    name: str, seconds: float, settings: Mapping[str, str] | None = None, nodes: int | None = None
) -> Outcome:
    """Runs it once, on a server of its own; `settings` are further ones, as environment variables.

    `nodes`: so many of them, on PostgreSQL; None: one, on SQLite.

    Raises:
        ServerFailed: It did not start.
        ServiceFailed: PostgreSQL or Valkey did not.
        TimeoutError: It did not let the connections in.
    """
    kind, number = _parts(name)
    with (
        _under_test(settings or {}, nodes) as subject,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measure(kind, number, subject, seconds))


@contextmanager
def _under_test(settings: Mapping[str, str], nodes: int | None) -> Iterator[Subject]:
    if nodes is None:
        with local_server(settings) as server:
            yield Subject((server.url,), (server.pid,))
        return
    with cluster(nodes, settings, has_proxies=False) as own:
        valkey = own.valkey.process.pid if nodes > 1 else None
        yield Subject(own.urls, tuple(node.pid for node in own.nodes), own.postgres, valkey)


def _parts(name: str) -> tuple[str, int]:
    match = _CASE.fullmatch(name)
    assert match is not None
    return match[1], int(match[2])


def _measure(kind: str, number: int, server: Subject, seconds: float) -> Coroutine[None, None, Outcome]:
    match kind:
        case "D":
            return _closed_loop(server, seconds, devices=number)
        case "rate":
            return _open_loop(server, seconds, rate=number)
        case _:
            return _idle(server, connections=number)


async def _closed_loop(server: Subject, seconds: float, devices: int) -> Outcome:
    """As much as goes: whenever a message is complete its conversation sends the next one."""
    measurement = Measurement()
    is_sending = True

    def go_on(room: Room) -> None:
        if is_sending:
            room.send(clock())

    rooms = [Room(number, devices, measurement, go_on) for number in range(CONVERSATIONS)]
    await _open(rooms, server.urls)
    for room in rooms:
        for _ in range(IN_FLIGHT):
            room.send(clock())
    outcome = await _measured(measurement, server, seconds)
    is_sending = False
    await _finish(rooms, measurement)
    return outcome


async def _open_loop(server: Subject, seconds: float, rate: int) -> Outcome:
    """Messages are due at random times, whatever the server does."""
    measurement = Measurement()
    rooms = [Room(number, _DEVICES_AT_A_RATE, measurement, lambda _: None) for number in range(CONVERSATIONS)]
    await _open(rooms, server.urls)
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


async def _idle(server: Subject, connections: int) -> Outcome:
    """Connections that send nothing: how fast they are accepted, and what each costs."""
    measurement = Measurement()
    before, began = _memory_of(server.pids), clock()
    rooms = [Room(number, 1, measurement, lambda _: None) for number in range(connections)]
    await _open(rooms, server.urls)
    accepting = clock() - began
    await asyncio.sleep(_IDLE_HOLD)
    after = _memory_of(server.pids)
    await _finish(rooms, measurement)
    memory = None if before is None or after is None else (after - before) / connections / 1024
    return Outcome({"accepts_s": connections / accepting, "kib_per_connection": memory}, measurement.faults)


def _memory_of(pids: Sequence[int]) -> int | None:
    known = [size for pid in pids if (size := resident_bytes(pid)) is not None]
    return sum(known) if known else None


async def _open(rooms: list[Room], urls: tuple[str, ...]) -> None:
    turns = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def open_one(room: Room) -> None:
        async with turns, asyncio.timeout(_OPENING):
            await room.open(*urls)

    await asyncio.gather(*(open_one(room) for room in rooms))


async def _measured(measurement: Measurement, server: Subject, seconds: float) -> Outcome:
    """Lets the load run: first to warm up, then measured."""
    await asyncio.sleep(_WARM_UP)
    began, own_cpu, before = clock(), time.process_time(), server.cpu()
    measurement.measuring = True
    await asyncio.sleep(seconds)
    measurement.measuring = False
    took = clock() - began
    done, after = measurement.completed, server.cpu()
    each = {name: _each(before[name], after[name], done) for name in before}
    return Outcome(
        {"msgs_s": done / took, **each},
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


def _each(before: float | None, after: float | None, messages: int) -> float | None:
    """Microseconds for each message."""
    if before is None or after is None or not messages:
        return None
    return (after - before) * 1e6 / messages


def _latencies(measurement: Measurement) -> dict[str, float | None]:
    return {
        "ack_p50_ms": _percentile(measurement.ack, 50),
        "ack_p99_ms": _percentile(measurement.ack, 99),
        "delivery_p99_ms": _percentile(measurement.delivery, 99),
    } | ({"elsewhere_p99_ms": _percentile(measurement.elsewhere, 99)} if measurement.elsewhere else {})


def _percentile(seconds: list[float], percent: int) -> float | None:
    """In ms; the nearest rank."""
    if not seconds:
        return None
    rank = -(-len(seconds) * percent // 100)
    return sorted(seconds)[rank - 1] * 1e3
