"""A fault ends its own connection and no other, and is logged once with who it was."""

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from server.core.model import Conversation, StoredMessage
from server.protocol import ClientFrame, CloseCode
from server.runtime.rooms import flusher
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import FakeSocket, Stage, StageDevice, turns

WHO = {
    "user_id": "kai",
    "conversation_id": "conv_kai_ai_alex",
    "client_id": "bad",
}


def _only_fault(logs: list[Any]) -> dict[str, Any]:
    (fault,) = [line for line in logs if line["log_level"] == "error"]
    assert fault["exc_info"]  # the stack
    assert WHO.items() <= fault.items()
    assert {"session_id", "connection_id"} <= fault.keys()
    return dict(fault)


def _code(device: StageDevice) -> int | None:
    return device.connection.close_code


@asynchronous
async def test_a_socket_that_raises_harms_neither_the_other_devices_nor_the_sender() -> None:
    stage = Stage(MemoryStore())
    first, bad, last = [await stage.join(name) for name in ("first", "bad", "last")]
    await turns(3)
    bad.socket.fault = RuntimeError("broken")
    with capture_logs() as logs:
        first.say("m1")
        first.say("m2")
        await stage.settle()
    assert (first.seen, last.seen) == ([1, 2], [1, 2])
    assert [f["type"] for f in first.answers] == ["ACK", "ACK"]
    assert (_code(first), _code(bad), _code(last)) == (None, CloseCode.INTERNAL_ERROR, None)
    _only_fault(logs)
    assert stage.metrics.errors_total == 1


@asynchronous
async def test_a_socket_that_raises_at_its_close_keeps_neither_a_shutdown_nor_its_successor_waiting() -> None:
    stage = Stage(MemoryStore())
    bad, other = await stage.join("bad"), await stage.join("other")
    bad.socket.fault = RuntimeError("broken")
    with capture_logs() as logs:
        again = await stage.join("bad")
    assert _code(bad) == CloseCode.INTERNAL_ERROR
    _only_fault(logs)
    again.socket.fault = RuntimeError("broken")
    with capture_logs() as logs:
        await stage.shutdown.drain()
    assert (_code(again), _code(other)) == (CloseCode.INTERNAL_ERROR, CloseCode.GOING_AWAY)
    _only_fault(logs)


@asynchronous
async def test_a_connection_whose_end_fails_harms_none_that_is_written_to_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(MemoryStore())
    first, bad, last = [await stage.join(name) for name in ("first", "bad", "last")]
    bad.socket.fault = RuntimeError("broken")

    def fail(*_: object) -> None:
        raise RuntimeError("broken as well")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(stage.manager, "disconnect", fail)
        first.say("m1")
        await stage.settle()
    assert (first.seen, last.seen) == ([1], [1])
    assert _code(bad) == CloseCode.INTERNAL_ERROR
    _only_fault(logs)


@pytest.mark.parametrize("happening", ["on_writable", "on_closed"])
@asynchronous
async def test_what_a_socket_reports_fails_for_its_own_connection_alone(
    happening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(MemoryStore())
    bad, other = await stage.join("bad"), await stage.join("other")
    bad.socket.is_writable = False
    other.say("m1")
    await stage.settle()

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(bad.socket, "write", fail)
        patch.setattr(stage.manager, "disconnect", fail)
        bad.connection.on_writable() if happening == "on_writable" else bad.connection.on_closed(1006)
    _only_fault(logs)
    other.say("m2")
    await stage.settle()
    assert other.seen == [1, 2]


@asynchronous
async def test_a_fault_while_a_frame_is_handled_is_a_nack_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(MemoryStore())
    bad = await stage.join("bad")

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(stage.receiver, "_submit", fail)
        bad.say("m1")
        stage.replies.flush()
    assert [(f["type"], f["error"]["code"]) for f in bad.answers] == [("NACK", "internal_error")]
    _only_fault(logs)
    bad.say("m1")
    await stage.settle()
    assert bad.answers[-1]["type"] == "ACK"


@asynchronous
async def test_a_fault_that_not_even_a_nack_survives_ends_only_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(MemoryStore())
    bad, other = await stage.join("bad"), await stage.join("other")

    def fail(*_: object) -> ClientFrame:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr("server.runtime.messages.receiver.read_frame", fail)
        bad.say("m1")
    assert (_code(bad), _code(other)) == (CloseCode.INTERNAL_ERROR, None)
    assert bad.socket.closed is not None
    assert bad.socket.closed[1]
    _only_fault(logs)
    other.say("m2")
    await stage.settle()
    assert other.seen == [1]


@asynchronous
async def test_an_answer_that_fails_leaves_its_neighbours_in_the_commit_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(MemoryStore())
    bad, other = await stage.join("bad"), await stage.join("other")
    answer = stage.replies.ack

    def ack(connection: Any, *rest: Any) -> None:
        if connection is bad.connection:
            raise RuntimeError("broken")
        answer(connection, *rest)

    monkeypatch.setattr(stage.replies, "ack", ack)
    with capture_logs() as logs:
        for number in range(3):
            bad.say(f"bad{number}")
            other.say(f"other{number}")
        await stage.settle()
    assert [f["type"] for f in other.answers] == ["ACK"] * 3
    assert other.seen == [1, 2, 3, 4, 5, 6]
    assert _code(bad) == CloseCode.INTERNAL_ERROR
    assert {line["client_id"] for line in logs if line["log_level"] == "error"} == {"bad"}


@asynchronous
async def test_a_message_that_cannot_be_broadcast_leaves_the_others_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own devices are closed with 1011, come back and read it from the store."""
    stage = Stage(MemoryStore())
    here, there = await stage.join("phone", conversation="one"), await stage.join("phone", conversation="two")
    encode = stage.delivery._broadcast

    def broadcast(save: Any, seq: int) -> int:
        if save.message_id == "poison":
            raise RuntimeError("broken")
        return encode(save, seq)

    monkeypatch.setattr(stage.delivery, "_broadcast", broadcast)
    here.say("poison")
    there.say("m1")
    await stage.settle()
    assert (there.seen, [f["type"] for f in there.answers]) == ([1], ["ACK"])
    assert (_code(here), _code(there)) == (CloseCode.INTERNAL_ERROR, None)
    again = await stage.join("phone", conversation="one", last_seq=0)
    again.say("poison")
    await stage.settle()
    assert again.answers[-1]["duplicate"] is True


@asynchronous
async def test_a_join_that_fails_is_refused_with_1011_and_leaves_nothing_behind() -> None:
    class Broken(MemoryStore):
        async def find_conversation(self, conversation_id: str) -> Conversation | None:
            raise RuntimeError("broken")

    stage = Stage(Broken())
    with capture_logs() as logs:
        answer = await stage.ask_to_join(FakeSocket(), "bad", session_id="s1")
    assert isinstance(answer, tuple)
    assert (answer.code, bool(answer.reason)) == (CloseCode.INTERNAL_ERROR, True)
    (fault,) = [line for line in logs if line["log_level"] == "error"]
    assert (WHO | {"session_id": "s1"}).items() <= fault.items()
    assert stage.manager.room(WHO["conversation_id"]) is None


@asynchronous
async def test_a_replay_that_fails_ends_its_connection_with_1011() -> None:
    class Broken(MemoryStore):
        async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
            raise RuntimeError("broken")

    stage = Stage(Broken())
    other = await stage.join("other")
    other.say("m1")
    await stage.settle()
    with capture_logs() as logs:
        bad = await stage.join("bad", last_seq=0)
        await turns(5)
    assert (_code(bad), _code(other)) == (CloseCode.INTERNAL_ERROR, None)
    _only_fault(logs)


@asynchronous
async def test_what_goes_to_many_is_written_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "_WRITES_PER_TURN", 10)
    stage = Stage(MemoryStore())
    devices = [await stage.join(f"device{number}") for number in range(35)]
    await turns(20)
    before = [device.socket.writes for device in devices]
    devices[0].say("m1")
    written = []
    for _ in range(12):
        await turns(1)
        written.append(sum(d.socket.writes - b for d, b in zip(devices, before, strict=True)))
    steps = [after - so_far for so_far, after in zip([0, *written], written, strict=False)]
    assert max(steps) <= 20  # a step of the commit itself, and one of the loop's turn
    assert all(device.seen == [1] for device in devices)


@asynchronous
async def test_the_message_flow_is_logged_at_debug() -> None:
    stage = Stage(MemoryStore())
    with capture_logs() as logs:
        phone = await stage.join("phone")
        phone.say("m1")
        await stage.settle()
        phone.connection.on_closed(1006)
    flow = [line["event"] for line in logs if line["log_level"] == "debug"]
    assert flow == ["connect", "received", "saved", "acked", "disconnect"]


@asynchronous
async def test_above_debug_the_message_flow_is_not_even_put_together() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
    try:
        stage = Stage(MemoryStore())
        assert not (stage.receiver._is_traced or stage.delivery._is_traced or stage.manager._is_traced)
    finally:
        structlog.reset_defaults()
