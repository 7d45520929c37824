"""The benchmark sees faults: figures of a server that loses or doubles messages are none."""

import asyncio

import pytest

from loadtest.bench.room import Measurement, Room, clock
from tests.loadtest.chat_server import BROKEN_AT, Breakage, chat_server

DEVICES = 3


async def converse(url: str, measurement: Measurement, messages: int) -> Room:
    room = Room(0, DEVICES, measurement, lambda _: None)
    async with asyncio.timeout(10):
        await room.open(url)
        measurement.measuring = True
        for _ in range(messages):
            room.send(clock())
    try:
        async with asyncio.timeout(1):
            await room.empty.wait()
    except TimeoutError:
        pass
    await asyncio.sleep(0.1)
    room.close()
    return room


@pytest.mark.parametrize(
    ("breakage", "fault", "pending"),
    [
        (Breakage.NONE, None, 0),
        (Breakage.DROPS, "out of order", 1),
        (Breakage.DOUBLES, "out of order", 0),
        (Breakage.DOUBLE_ANSWERS, "twice, or never sent", 0),
        (Breakage.INVENTS, "twice, or never sent", 0),
        (Breakage.REORDERS, "out of order", 0),
        (Breakage.SAVES_REFUSED, "NACK store_unavailable", 1),
    ],
)
def test_faults_are_counted(breakage: Breakage, fault: str | None, pending: int) -> None:
    measurement = Measurement()
    with chat_server(breakage) as url:
        room = asyncio.run(converse(url, measurement, BROKEN_AT + 3))
    assert (fault in measurement.faults) if fault else not measurement.faults
    assert len(room.pending) == pending
    if fault is None:
        assert measurement.completed == len(measurement.ack) == len(measurement.delivery) / DEVICES


def test_a_connection_that_ends_is_a_fault() -> None:
    measurement = Measurement()
    with chat_server(Breakage.FORGETS) as url:
        asyncio.run(converse(url, measurement, BROKEN_AT + 5))
    assert measurement.faults["connection lost"] == DEVICES
