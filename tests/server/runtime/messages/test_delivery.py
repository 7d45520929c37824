"""A message between its validation and its answers, with a store that commits when the test says so."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.core.model import (
    MESSAGE_ID_CONFLICT,
    OUTCOME_UNKNOWN,
    STORE_UNAVAILABLE,
    Draft,
    Outcome,
    Refused,
)
from server.runtime.messages import delivery as module
from server.runtime.rooms.room import Room
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import CONVERSATION
from tests.support.scripted_commits import ScriptedCommits
from tests.support.stage import Stage, StageDevice
from tests.support.store import told

TIMEOUT = 0.05  # seconds: what is under test ends with it


class ScriptedStore(MemoryStore):
    """Of what it saves the test says when and with which outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: ScriptedCommits[Draft, Outcome] = ScriptedCommits()
        self.save = self.commits.save  # type: ignore[method-assign]


class Bench(Stage):
    """The stage over a scripted store."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.commits_of = ScriptedStore()
        super().__init__(self.commits_of, store_timeout=timeout)
        self.commits = self.commits_of.commits

    @property
    def room(self) -> Room:
        room = self.manager.room(CONVERSATION)
        assert room is not None
        return room

    def settle_with(self, *outcomes: int | Refused | Outcome, number: int = 0) -> None:
        self.commits.answers[number].set_result(told(*outcomes))


def heard(device: StageDevice) -> list[tuple[Any, ...]]:
    """Messages and answers: type, message_id and seq or error code of each frame."""
    frames = [f for f in device.socket.frames if f["type"] in ("CHAT_MESSAGE", "ACK", "NACK")]
    return [(f["type"], f["message_id"], f["seq"] if "seq" in f else f["error"]["code"]) for f in frames]


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - a fake socket tells nobody
        await asyncio.sleep(0.005)


@asynchronous
async def test_every_device_hears_the_messages_in_seq_order_and_the_sender_its_acks_behind_them() -> None:
    bench = Bench()
    phone, tablet = await bench.join("phone"), await bench.join("tablet")
    phone.say("m1")
    phone.say("m2")
    await asyncio.sleep(0)
    assert heard(tablet) == []
    bench.settle_with(1, 2)
    await bench.settle()
    broadcasts = [("CHAT_MESSAGE", "m1", 1), ("CHAT_MESSAGE", "m2", 2)]
    order = heard(phone)
    assert heard(tablet) == [frame for frame in order if frame[0] == "CHAT_MESSAGE"] == broadcasts
    for message_id, seq in (("m1", 1), ("m2", 2)):
        assert order.index(("CHAT_MESSAGE", message_id, seq)) < order.index(("ACK", message_id, seq))
    assert bench.room.last_seq == 2
    assert bench.room.saving is None


@asynchronous
async def test_each_device_is_written_to_once_a_commit_and_first_those_that_wait_for_an_ack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    devices = {name: await bench.join(name) for name in ("tablet", "phone", "watch")}
    await bench.settle()  # they hear of each other
    order: list[str] = []
    for name, device in devices.items():
        monkeypatch.setattr(device.socket, "write", lambda frames, name=name: order.append(name))
    for message_id in ("m1", "m2"):
        devices["phone"].say(message_id)
    await asyncio.sleep(0)
    bench.settle_with(1, 2)
    await bench.settle()
    assert order == ["phone", "tablet", "watch"]


@asynchronous
async def test_a_message_that_is_not_claimed_in_time_is_store_unavailable_and_its_id_is_free_again() -> None:
    bench = Bench(TIMEOUT)
    phone = await bench.join("phone")
    phone.say("m1")
    await until(lambda: bool(heard(phone)))
    assert heard(phone) == [("NACK", "m1", STORE_UNAVAILABLE.code)]
    assert bench.room.saving is None
    assert bench.commits.batches[0].claim() == []
    bench.settle_with()
    await bench.settle()
    phone.say("m1")
    await asyncio.sleep(0)
    bench.settle_with(1, number=1)
    await bench.settle()
    assert heard(phone)[1:] == [("CHAT_MESSAGE", "m1", 1), ("ACK", "m1", 1)]


@asynchronous
async def test_a_commit_that_takes_too_long_is_outcome_unknown_and_broadcast_without_a_second_answer() -> (
    None
):
    bench = Bench(TIMEOUT)
    phone, tablet = await bench.join("phone"), await bench.join("tablet")
    phone.say("m1")
    await asyncio.sleep(0)
    bench.commits.batches[0].claim()
    await until(lambda: bool(heard(phone)))
    assert heard(phone) == [("NACK", "m1", OUTCOME_UNKNOWN.code)]
    await asyncio.sleep(3 * TIMEOUT)  # it is overdue again, but answered once
    bench.settle_with(1)
    await bench.settle()
    assert heard(phone) == [("NACK", "m1", OUTCOME_UNKNOWN.code), ("CHAT_MESSAGE", "m1", 1)]
    assert heard(tablet) == [("CHAT_MESSAGE", "m1", 1)]
    assert phone.connection.unanswered == 0


@asynchronous
async def test_a_resend_joins_the_save_and_each_frame_gets_its_own_answer() -> None:
    bench = Bench()
    phone, tablet = await bench.join("phone"), await bench.join("tablet")
    phone.say("m1")
    await asyncio.sleep(0)
    tablet.say("m1")
    phone.say("m1")
    phone.say("m1", "other")
    bench.settle_with(1)
    await bench.settle()
    assert len(bench.commits.batches) == 1
    saved = [("CHAT_MESSAGE", "m1", 1), ("ACK", "m1", 1)]
    assert heard(tablet) == saved
    assert sorted(heard(phone)) == sorted(
        [*saved, ("ACK", "m1", 1), ("NACK", "m1", MESSAGE_ID_CONFLICT.code)]
    )
    assert sorted(answer.get("duplicate", False) for answer in phone.answers) == [False, False, True]


@asynchronous
async def test_who_resends_while_the_outcome_is_unknown_is_answered_when_it_is_settled() -> None:
    bench = Bench(TIMEOUT)
    phone, tablet = await bench.join("phone"), await bench.join("tablet")
    phone.say("m1")
    await asyncio.sleep(0)
    bench.commits.batches[0].claim()
    await until(lambda: bool(heard(phone)))
    tablet.say("m1")
    bench.settle_with(1)
    await bench.settle()
    assert heard(tablet) == [("CHAT_MESSAGE", "m1", 1), ("ACK", "m1", 1)]
    assert heard(phone)[1:] == [("CHAT_MESSAGE", "m1", 1)]


@asynchronous
async def test_what_is_not_new_is_answered_and_not_broadcast() -> None:
    bench = Bench()
    phone, tablet = await bench.join("phone"), await bench.join("tablet")
    bench.room.last_seq = 7
    phone.say("m1")
    phone.say("m2")
    await asyncio.sleep(0)
    bench.settle_with(Outcome.duplicate(7), STORE_UNAVAILABLE)
    await bench.settle()
    assert heard(phone) == [("ACK", "m1", 7), ("NACK", "m2", STORE_UNAVAILABLE.code)]
    assert phone.answers[0]["duplicate"] is True
    assert heard(tablet) == []
    assert bench.room.last_seq == 7


@asynchronous
async def test_a_store_that_raises_leaves_the_outcome_unknown_and_the_fault_in_the_log() -> None:
    bench = Bench()
    phone = await bench.join("phone")
    phone.say("m1")
    await asyncio.sleep(0)
    bench.commits.answers[0].set_exception(RuntimeError("broken"))
    with capture_logs() as logs:
        await bench.settle()
    assert heard(phone) == [("NACK", "m1", OUTCOME_UNKNOWN.code)]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["the store failed"]
    assert bench.room.saving is None


@asynchronous
async def test_a_room_that_everybody_left_is_dropped_once_its_last_message_is_settled() -> None:
    bench = Bench()
    phone = await bench.join("phone")
    phone.say("m1")
    await asyncio.sleep(0)
    phone.connection.on_closed(1006)
    assert bench.room.connections == ()
    bench.settle_with(1)
    await bench.settle()
    assert bench.manager.room(CONVERSATION) is None


@asynchronous
async def test_a_store_that_saves_nothing_is_in_doubt_until_it_saves_again_or_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    phone = await bench.join("phone")
    is_saving = [bench.delivery.is_saving]
    outcomes: list[Refused | int] = [STORE_UNAVAILABLE, STORE_UNAVAILABLE, 1, STORE_UNAVAILABLE]
    with capture_logs() as logs:
        for number, outcome in enumerate(outcomes):
            phone.say(f"m{number}")
            await until(lambda number=number: len(bench.commits.answers) > number)  # type: ignore[misc]
            bench.commits.batches[number].claim()
            bench.settle_with(outcome, number=number)
            await bench.delivery.drained()
            is_saving.append(bench.delivery.is_saving)
    assert is_saving == [True, False, False, True, False]
    assert [(line["event"], line["log_level"]) for line in logs if line["log_level"] != "debug"] == [
        ("messages cannot be saved", "warning"),
        ("messages are saved again", "info"),
        ("messages cannot be saved", "warning"),
    ]
    monkeypatch.setattr(module, "_DOUBT_SECONDS", 0.0)
    assert bench.delivery.is_saving
