"""Protocol, sections 4 and 5: what a commit in doubt has saved is broadcast, and leaves no device a hole."""

import asyncio
from typing import Any

import pytest

from server.core.model import OUTCOME_UNKNOWN, Conversation, Draft, Outcome
from server.ports import Batch, Commit, DoneCommit, StoreUnavailable
from server.runtime.messages import gap_repair
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import Stage, StageDevice, turns
from tests.support.store import told


class DoubtfulStore(MemoryStore):
    """While `hides`, it commits without knowing of it; `silent_for` questions it tells nothing."""

    hides = False
    silent_for = 0

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        saved = super().save(batch)
        if not self.hides:
            return saved
        return DoneCommit(told(*[OUTCOME_UNKNOWN for _ in batch.claim()]))

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        if self.silent_for:
            self.silent_for -= 1
            raise StoreUnavailable("no answer")
        return await super().find_conversation(conversation_id)


class Doubt:
    """Two devices; "m2" is saved, but nobody knows."""

    async def begin(self, silent_for: int = 0) -> None:
        self.store = DoubtfulStore()
        self.stage = Stage(self.store)
        self.phone, self.tablet = await self.stage.join("phone"), await self.stage.join("tablet")
        self.phone.say("m1")
        await self.stage.settle()
        self.store.hides, self.store.silent_for = True, silent_for
        self.phone.say("m2")
        await self.stage.settle()
        self.store.hides = False
        assert heard(self.phone)[2:] == [("NACK", "m2", "outcome_unknown")]
        assert self.tablet.seen == [1]

    async def settle(self) -> None:
        await self.stage.settle()
        await turns(20)


def heard(device: StageDevice) -> list[tuple[Any, ...]]:
    frames = [f for f in device.socket.frames if f["type"] in ("CHAT_MESSAGE", "ACK", "NACK")]
    return [(f["type"], f["message_id"], f["seq"] if "seq" in f else f["error"]["code"]) for f in frames]


@asynchronous
async def test_the_next_message_brings_what_was_missed_before_it() -> None:
    doubt = Doubt()
    await doubt.begin()
    doubt.tablet.say("m3")
    doubt.phone.say("m4")
    await doubt.settle()
    assert heard(doubt.phone)[3:] == [
        *[("CHAT_MESSAGE", f"m{seq}", seq) for seq in (2, 3, 4)],
        ("ACK", "m4", 4),
    ]
    assert (doubt.tablet.seen, doubt.tablet.answers[-1]["seq"]) == ([1, 2, 3, 4], 3)


@asynchronous
async def test_a_resend_settles_the_doubt_and_shows_the_message_to_all_once() -> None:
    doubt = Doubt()
    await doubt.begin()
    for _ in range(2):
        doubt.phone.say("m2")
        await doubt.settle()
    assert heard(doubt.phone)[3:] == [("CHAT_MESSAGE", "m2", 2), ("ACK", "m2", 2), ("ACK", "m2", 2)]
    assert doubt.tablet.seen == [1, 2]


@asynchronous
async def test_without_any_further_message_it_is_shown_once_the_database_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gap_repair, "_PAUSE", 0.001)
    doubt = Doubt()
    await doubt.begin(silent_for=3)
    async with asyncio.timeout(10):
        await doubt.stage.background.finished()  # the question
        await doubt.stage.background.finished()  # the replays
    doubt.tablet.say("m3")
    await doubt.settle()
    assert (doubt.store.silent_for, doubt.phone.seen, doubt.tablet.seen) == (0, [1, 2, 3], [1, 2, 3])


@asynchronous
async def test_a_message_that_is_being_saved_meanwhile_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_repair, "_PAUSE", 0.001)
    doubt = Doubt()
    await doubt.begin()
    room = doubt.phone.connection.room
    room.saving = {}  # one of which the store has, and the room has not heard
    room.saving["m3"] = doubt  # type: ignore[assignment]
    await asyncio.sleep(0.02)
    assert (room.last_seq, doubt.tablet.seen) == (1, [1])
    room.saving = None
    await doubt.stage.background.finished()
    await doubt.settle()
    assert doubt.tablet.seen == [1, 2]
