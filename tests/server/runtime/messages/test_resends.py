"""Protocol, section 4: every frame its own answer, one copy, one broadcast."""

import asyncio
from typing import Any

import pytest

from server.core.model import Draft, Outcome, StoredMessage
from server.core.rate_limit import RateLimiter
from server.ports import Batch, Commit, PendingCommit, StoreUnavailable
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import Connect
from tests.support.server import running_server
from tests.support.slow_store import SlowStore
from tests.support.stage import Stage, StageDevice, turns


def _answers(device: StageDevice) -> list[tuple[Any, ...]]:
    """Type, message_id, seq and `duplicate` or the error's code."""
    return [
        (f["type"], f["message_id"], f.get("seq"), f["error"]["code"] if "error" in f else f.get("duplicate"))
        for f in device.answers
    ]


@asynchronous
async def test_a_saved_message_is_acked_again_with_its_seq_and_broadcast_once() -> None:
    stage = Stage(MemoryStore())
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    for _ in range(3):
        phone.say("m1")
        await stage.settle()
    assert _answers(phone) == [("ACK", "m1", 1, None), ("ACK", "m1", 1, True), ("ACK", "m1", 1, True)]
    assert (phone.seen, tablet.seen) == ([1], [1])


@asynchronous
async def test_a_resend_of_a_message_still_being_saved_joins_that_save() -> None:
    store = SlowStore()
    stage = Stage(store)
    phone = await stage.join("phone")
    for _ in range(3):
        phone.say("m1")
        await turns(3)
    assert _answers(phone) == []
    await store.commit()
    await stage.settle()
    assert _answers(phone) == [("ACK", "m1", 1, None), ("ACK", "m1", 1, True), ("ACK", "m1", 1, True)]
    assert phone.seen == [1]


@asynchronous
async def test_a_resend_from_another_device_while_it_is_being_saved_gets_an_answer_of_its_own() -> None:
    store = SlowStore()
    stage = Stage(store)
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    phone.say("m1")
    await turns(3)
    tablet.say("m1")
    await store.commit()
    await stage.settle()
    assert _answers(phone) == [("ACK", "m1", 1, None)]
    assert _answers(tablet) == [("ACK", "m1", 1, True)]
    assert (phone.seen, tablet.seen) == ([1], [1])


@asynchronous
async def test_a_resend_after_a_reconnect_while_it_is_being_saved_is_answered_on_the_new_connection() -> None:
    store = SlowStore()
    stage = Stage(store)
    first = await stage.join("phone")
    first.say("m1")
    await turns(3)
    first.connection.on_closed(1006)
    again = await stage.join("phone", session_id=first.welcome["session_id"], last_seq=0)
    again.say("m1")
    await store.commit()
    await stage.settle()
    assert _answers(first) == []
    assert _answers(again) == [("ACK", "m1", 1, True)]
    assert again.seen == [1]


@asynchronous
async def test_other_data_under_a_used_message_id_is_a_conflict_saved_or_being_saved() -> None:
    store = SlowStore()
    stage = Stage(store)
    phone = await stage.join("phone")
    phone.say("m1", "first")
    await turns(3)
    phone.say("m1", "second")
    await store.commit()
    await stage.settle()
    phone.say("m1", "third")
    await stage.settle()
    assert _answers(phone) == [
        ("NACK", "m1", None, "message_id_conflict"),
        ("ACK", "m1", 1, None),
        ("NACK", "m1", None, "message_id_conflict"),
    ]
    assert phone.seen == [1]


@asynchronous
async def test_in_another_conversation_the_same_message_id_is_another_message() -> None:
    stage = Stage(MemoryStore())
    one = await stage.join("phone", conversation="one")
    two = await stage.join("phone", conversation="two")
    one.say("m1", "here")
    two.say("m1", "there")
    await stage.settle()
    assert _answers(one) == _answers(two) == [("ACK", "m1", 1, None)]


@asynchronous
async def test_a_resend_of_a_saved_message_is_acked_over_the_rate_and_costs_none_of_it() -> None:
    stage = Stage(MemoryStore(), limiter=RateLimiter(2, 60.0))
    phone = await stage.join("phone")
    phone.say("m1")
    await stage.settle()
    for _ in range(3):
        phone.say("m1")
        await stage.settle()
    phone.say("m2")
    await stage.settle()
    for name in ("m3", "m2", "m1"):
        phone.say(name)
        await stage.settle()
    assert _answers(phone) == [
        ("ACK", "m1", 1, None),
        *[("ACK", "m1", 1, True)] * 3,
        ("ACK", "m2", 2, None),
        ("NACK", "m3", None, "rate_limited"),
        ("ACK", "m2", 2, True),
        ("ACK", "m1", 1, True),
    ]


@asynchronous
async def test_over_the_rate_other_data_under_a_used_message_id_is_a_conflict() -> None:
    stage = Stage(MemoryStore(), limiter=RateLimiter(1, 60.0))
    phone = await stage.join("phone")
    for text in ("first", "second"):
        phone.say("m1", text)
        await stage.settle()
    assert _answers(phone)[-1] == ("NACK", "m1", None, "message_id_conflict")


@asynchronous
async def test_a_nacked_message_id_is_free_again() -> None:
    limiter = RateLimiter(1, 60.0)
    stage = Stage(MemoryStore(), limiter=limiter)
    phone = await stage.join("phone")
    phone.say("m1")
    phone.say("m2", "too early")
    await stage.settle()
    limiter.messages = 2
    limiter.forget_idle(1e12)
    phone.say("m2", "later, and other words")
    await stage.settle()
    assert sorted(_answers(phone)) == [
        ("ACK", "m1", 1, None),
        ("ACK", "m2", 2, None),
        ("NACK", "m2", None, "rate_limited"),
    ]


@asynchronous
async def test_over_the_rate_with_a_store_that_does_not_tell_the_outcome_is_open() -> None:
    """The message may be a resend of one that is saved; a plain NACK would deny it."""

    class Mute(MemoryStore):
        async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
            raise StoreUnavailable("no answer")

    stage = Stage(Mute(), limiter=RateLimiter(1, 60.0))
    phone = await stage.join("phone")
    phone.say("m1")
    phone.say("m2")
    await stage.settle()
    assert ("NACK", "m2", None, "outcome_unknown") in _answers(phone)


@asynchronous
async def test_a_withdrawn_resend_of_a_saved_message_is_not_denied() -> None:
    """store_unavailable would say that it was not saved, and never will be."""

    class Locked(MemoryStore):
        is_locked = False

        def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
            if not self.is_locked:
                return super().save(batch)
            return PendingCommit(asyncio.get_running_loop().create_future())

    store = Locked()
    stage = Stage(store, store_timeout=0.05)
    phone = await stage.join("phone")
    phone.say("m1")
    await stage.settle()
    store.is_locked = True
    for name in ("m1", "m2"):
        phone.say(name)
    for _ in range(500):  # times 10 ms: far beyond the store's timeout
        if len(phone.answers) == 3:
            break
        await asyncio.sleep(0.01)
    assert sorted(_answers(phone)[1:]) == [
        ("ACK", "m1", 1, True),
        ("NACK", "m2", None, "store_unavailable"),
    ]


@pytest.mark.parametrize("brings_session", [True, False])
def test_a_resend_after_a_restart_is_acked_with_the_first_seq(
    tmp_path: Any, connect_device: Connect, brings_session: bool
) -> None:
    with running_server(tmp_path) as server:
        phone = connect_device(server, "phone")
        first = phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "once"})
        server.kill()
    with running_server(tmp_path) as server:
        session = {"session_id": phone.welcome["data"]["session_id"]} if brings_session else {}
        again = connect_device(server, "phone", last_seq=0, epoch=phone.welcome["data"]["epoch"], **session)
        again.say("m1", "once")
        frames = [again.receive(), again.receive()]
        assert [(f["type"], f["seq"]) for f in frames] == [("CHAT_MESSAGE", 1), ("ACK", 1)]
        assert (first["seq"], frames[1]["duplicate"]) == (1, True)
