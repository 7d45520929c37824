"""Turns with a responder that does what the test says: failures, interruptions, cancellations, restarts."""

import asyncio
from typing import Any, Literal

import pytest

from server.core.model import Position
from server.core.owed import OwedTurn
from server.core.retrying import Backoff, FailureKind
from server.ports import ResponderFailed
from server.protocol import Finish
from server.runtime.answers.failing import RetryPolicy
from server.runtime.answers.streams import StreamConfig
from server.runtime.answers.turns import MAX_MESSAGES, TurnConfig
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import CONVERSATION
from tests.support.scripted_responder import ScriptedResponder
from tests.support.stage import Stage, StageDevice, turns

SOON = 0.01
BROKEN = ResponderFailed("the model broke off", FailureKind.TRUNCATED)


class Talk:
    """A device that talks with a scripted AI."""

    def __init__(
        self,
        interrupt: Literal["queue", "cancel", "rollback"] = "queue",
        store: MemoryStore | None = None,
        backoff: Backoff = Backoff(SOON, SOON),  # noqa: B008 - frozen
        attempts: int | None = None,
    ) -> None:
        self.store = store or MemoryStore(owes_answers=True)
        self.ai = ScriptedResponder()
        config = TurnConfig(
            wait=SOON,
            max_wait=0.2,
            interrupt=interrupt,
            typing_delay=(0, 0),
            retry=RetryPolicy(backoff, attempts),
        )
        self.stage = Stage(self.store, responder=self.ai, turns=config, streams=StreamConfig(0.0))
        assert self.stage.node.turns is not None
        self.turns = self.stage.node.turns

    async def begin(self) -> StageDevice:
        self.phone = await self.stage.join("phone")
        return self.phone

    def cancel(self, id: str = "c", **data: str) -> None:
        self.phone.send({"type": "CANCEL_RESPONSE", "message_id": id, "data": data})

    @property
    def texts(self) -> list[tuple[str, str, str | None]]:
        """The answers that were saved: id, text, finish."""
        frames = self.phone.socket.frames
        return [(f["message_id"], f["data"], f.get("finish")) for f in frames if f["type"] == "AI_RESPONSE"]

    @property
    def aborted(self) -> list[str]:
        return [
            f["message_id"]
            for f in self.phone.socket.frames
            if f["type"] == "AI_RESPONSE_CHUNK" and f["data"].get("aborted")
        ]

    @property
    def no_answers(self) -> list[dict[str, Any]]:
        frames = self.phone.socket.frames
        return [f["data"] for f in frames if f["type"] == "SYSTEM" and f["data"]["event"] == "no_answer"]

    async def answered(self) -> int:
        room = self.stage.manager.room(CONVERSATION)
        assert room is not None
        return await self.store.position(room.key, Position.ANSWERED)

    async def until(self, holds: Any) -> None:
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not come to that")


@asynchronous
async def test_an_answer_is_streamed_saved_and_counted_as_given() -> None:
    talk = Talk()
    phone = await talk.begin()
    phone.say("m1", "Hello?")
    call = await talk.ai.called(1)
    call.write("Hel")
    call.write("lo!")
    call.end()
    await talk.until(lambda: talk.texts)
    assert talk.texts == [("answer-1", "Hello!", None)]
    assert [f["data"]["text"] for f in phone.socket.frames if f["type"] == "AI_RESPONSE_CHUNK"] == [
        "Hel",
        "lo!",
    ]
    assert await talk.answered() == 1
    await talk.until(lambda: not talk.turns.waiting)


@asynchronous
@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.CONTENT_FILTER])
async def test_why_an_answer_is_not_whole_is_saved_with_it(finish: Finish) -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    call = await talk.ai.called(1)
    call.write("A part")
    call.end(finish)
    await talk.until(lambda: talk.texts)
    assert talk.texts == [("answer-1", "A part", str(finish))]


@asynchronous
async def test_a_failure_before_the_first_text_is_tried_again_under_the_same_id() -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    (await talk.ai.called(1)).fail(BROKEN)
    again = await talk.ai.called(2)
    again.write("At last")
    again.end()
    await talk.until(lambda: talk.texts)
    assert talk.texts == [("answer-1", "At last", None)]
    assert talk.aborted == []
    assert talk.stage.metrics.ai_failures == {FailureKind.TRUNCATED: 1}


@asynchronous
async def test_a_failure_after_shown_text_takes_it_back_and_begins_anew_under_another_id() -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    for count in (1, 2):
        call = await talk.ai.called(count)
        call.write("Well, ")
        await talk.until(lambda call=call: talk.stage.node.streams.count)
        call.fail(BROKEN)
    call = await talk.ai.called(3)
    call.write("Hello")
    call.end()
    await talk.until(lambda: talk.texts)
    assert talk.aborted == ["answer-1", "answer-1-2"]
    assert talk.texts == [("answer-1-3", "Hello", None)]
    assert await talk.answered() == 1


@asynchronous
async def test_devices_are_told_once_at_the_third_failure_and_the_turn_is_still_answered() -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    for count in range(1, 6):
        (await talk.ai.called(count)).fail(BROKEN)
    call = await talk.ai.called(6)
    call.write("Sorry, I was away")
    call.end()
    await talk.until(lambda: talk.texts)
    assert len(talk.no_answers) == 1
    assert talk.no_answers[0]["retry_in"] > 0
    assert talk.no_answers[0]["text"]


@asynchronous
async def test_a_fault_of_the_responders_code_is_a_failure_like_any_other() -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    (await talk.ai.called(1)).fail(KeyError("choices"))
    again = await talk.ai.called(2)
    again.write("Hello")
    again.end()
    await talk.until(lambda: talk.texts)


@asynchronous
async def test_a_message_during_an_answer_waits_for_its_end_and_finds_it_in_the_history() -> None:
    talk = Talk("queue")
    phone = await talk.begin()
    phone.say("m1", "one")
    first = await talk.ai.called(1)
    first.write("Answer")
    phone.say("m2", "two")
    await talk.stage.settle()
    first.end()
    second = await talk.ai.called(2)
    assert second.said == ["two"]
    assert second.history == ["one", "Answer"]
    second.write("Second")
    second.end()
    await talk.until(lambda: len(talk.texts) == 2)
    assert [text[0] for text in talk.texts] == ["answer-1", "answer-2"]


@asynchronous
async def test_with_cancel_a_message_stops_the_answer_and_what_was_shown_stands_in_the_history() -> None:
    talk = Talk("cancel")
    phone = await talk.begin()
    phone.say("m1", "one")
    first = await talk.ai.called(1)
    first.write("I was about to")
    await talk.until(lambda: any(f["type"] == "AI_RESPONSE_CHUNK" for f in phone.socket.frames))
    phone.say("m2", "two")
    second = await talk.ai.called(2)
    assert first.is_closed
    assert second.said == ["two"]
    assert second.history == ["one", "I was about to"]
    second.write("Yes?")
    second.end()
    await talk.until(lambda: len(talk.texts) == 2)
    assert [(text, finish) for _, text, finish in talk.texts] == [
        ("I was about to", "cancelled"),
        ("Yes?", None),
    ]


@asynchronous
@pytest.mark.parametrize("interrupt", ["cancel", "rollback"])
async def test_a_message_before_the_first_text_joins_the_turn(
    interrupt: Literal["cancel", "rollback"],
) -> None:
    talk = Talk(interrupt)
    phone = await talk.begin()
    phone.say("m1", "one")
    first = await talk.ai.called(1)
    phone.say("m2", "two")
    second = await talk.ai.called(2)
    assert first.is_closed
    assert second.said == ["one", "two"]
    second.write("Both")
    second.end()
    await talk.until(lambda: talk.texts)
    assert talk.texts == [("answer-2", "Both", None)]


@asynchronous
async def test_with_rollback_a_message_takes_back_what_was_shown() -> None:
    talk = Talk("rollback")
    phone = await talk.begin()
    phone.say("m1", "one")
    first = await talk.ai.called(1)
    first.write("I was about to")
    await talk.until(lambda: any(f["type"] == "AI_RESPONSE_CHUNK" for f in phone.socket.frames))
    phone.say("m2", "two")
    second = await talk.ai.called(2)
    assert second.said == ["one", "two"]
    assert second.history == []
    second.write("Both")
    second.end()
    await talk.until(lambda: talk.texts)
    assert talk.aborted == ["answer-1"]
    assert talk.texts == [("answer-2", "Both", None)]


@asynchronous
async def test_cancelled_while_it_is_written_it_ends_at_once_and_counts_as_answered() -> None:
    talk = Talk()
    phone = await talk.begin()
    phone.say("m1", "one")
    call = await talk.ai.called(1)
    call.write("Once upon")
    await talk.until(lambda: any(f["type"] == "AI_RESPONSE_CHUNK" for f in phone.socket.frames))
    talk.cancel()
    await talk.until(lambda: call.is_closed and talk.texts)
    assert talk.texts == [("answer-1", "Once upon", "cancelled")]
    assert await talk.answered() == 1
    await talk.until(lambda: not talk.turns.waiting)
    assert len(talk.ai.calls) == 1


@asynchronous
async def test_cancelled_before_the_first_word_nothing_is_saved_and_nothing_owed() -> None:
    talk = Talk()
    phone = await talk.begin()
    phone.say("m1", "one")
    call = await talk.ai.called(1)
    talk.cancel()
    await talk.until(lambda: call.is_closed)
    await talk.until(lambda: not talk.turns.waiting)
    assert (talk.aborted, talk.texts) == (["answer-1"], [])
    assert await talk.answered() == 1


@asynchronous
async def test_cancelled_while_the_user_still_writes_the_turn_is_never_begun() -> None:
    talk = Talk()
    phone = await talk.begin()
    phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
    phone.say("m1", "one")
    phone.send({"type": "TYPING_INDICATOR", "data": {"is_typing": True}})
    await talk.stage.settle()
    talk.cancel("c1")
    talk.cancel("c2")
    await talk.until(lambda: not talk.turns.waiting)
    answers = [(f["type"], f["message_id"]) for f in phone.answers if f["message_id"] in ("c1", "c2")]
    assert answers == [("ACK", "c1"), ("NACK", "c2")]
    assert talk.ai.calls == []
    assert await talk.answered() == 1


@asynchronous
async def test_cancelled_while_it_waits_for_another_try_it_is_tried_no_more() -> None:
    talk = Talk(backoff=Backoff(60.0, 60.0))
    (await talk.begin()).say("m1")
    (await talk.ai.called(1)).fail(BROKEN)
    await talk.until(lambda: talk.stage.metrics.ai_failures)
    talk.cancel()
    await talk.until(lambda: not talk.turns.waiting)
    assert len(talk.ai.calls) == 1
    assert await talk.answered() == 1


class HeldNotes(MemoryStore):
    """Writes an attempt once the test lets it."""

    def __init__(self) -> None:
        super().__init__(owes_answers=True)
        self.is_asked, self.goes_on = asyncio.Event(), asyncio.Event()

    async def note_attempt(self, turn: OwedTurn) -> bool:
        self.is_asked.set()
        await self.goes_on.wait()
        return await super().note_attempt(turn)


@asynchronous
async def test_cancelled_while_its_extent_is_written_the_turn_is_never_begun() -> None:
    store = HeldNotes()
    talk = Talk(store=store, attempts=12)
    phone = await talk.begin()
    phone.say("m1")
    await store.is_asked.wait()
    talk.cancel()
    await turns(5)
    assert phone.answers[-1]["type"] == "ACK"
    store.goes_on.set()
    await talk.until(lambda: not talk.turns.waiting)
    assert talk.ai.calls == []
    assert await talk.answered() == 1


@asynchronous
async def test_a_turn_is_cancelled_by_the_id_of_its_answer_whatever_the_ai_has_said_meanwhile() -> None:
    talk = Talk(backoff=Backoff(60.0, 60.0))
    phone = await talk.begin()
    phone.say("m1")
    (await talk.ai.called(1)).fail(BROKEN)
    await talk.until(lambda: talk.stage.metrics.ai_failures)
    room = talk.stage.manager.hold(CONVERSATION)
    await talk.stage.node.speech.say(room, "by the way", "One thing more")
    talk.cancel(message_id="answer-1")
    await talk.until(lambda: not talk.turns.waiting)
    assert talk.aborted == ["answer-1"]


@asynchronous
async def test_with_nothing_to_stop_a_cancel_is_refused() -> None:
    talk = Talk()
    phone = await talk.begin()
    talk.cancel()
    await talk.stage.settle()
    assert [(f["type"], f["error"]["code"]) for f in phone.answers] == [("NACK", "validation_failed")]


@asynchronous
async def test_more_messages_than_a_turn_holds_are_answered_turn_by_turn_from_the_oldest() -> None:
    talk = Talk()
    phone = await talk.begin()
    for number in range(MAX_MESSAGES + 5):
        phone.say(f"m{number}", str(number))
    first = await talk.ai.called(1)
    assert first.said == [str(n) for n in range(MAX_MESSAGES)]
    first.write("1")
    first.end()
    second = await talk.ai.called(2)
    assert second.said == [str(n) for n in range(MAX_MESSAGES, MAX_MESSAGES + 5)]
    second.write("2")
    second.end()
    await talk.until(lambda: len(talk.texts) == 2)
    assert await talk.answered() == MAX_MESSAGES + 5


@asynchronous
async def test_what_is_owed_is_answered_by_the_next_process_with_the_failures_counted_on() -> None:
    store = MemoryStore(owes_answers=True)
    before = Talk(store=store)
    (await before.begin()).say("m1", "still there?")
    for count in (1, 2):
        (await before.ai.called(count)).fail(BROKEN)
    await before.until(lambda: len(before.ai.calls) == 3)
    await before.stage.node.stop()
    after = Talk(store=store)
    await after.begin()
    after.stage.node.background.run(after.turns.resume(), "resume")
    (await after.ai.called(1)).fail(BROKEN)
    call = await after.ai.called(2)
    assert call.said == ["still there?"]
    assert len(after.no_answers) == 1
    call.write("Yes")
    call.end()
    await after.until(lambda: after.texts)
    assert after.texts == [("answer-1", "Yes", None)]


@asynchronous
async def test_a_turn_that_somebody_else_answered_is_not_answered_again() -> None:
    talk = Talk()
    phone = await talk.begin()
    phone.say("m1", "one")
    call = await talk.ai.called(1)
    call.write("Mine")
    room = talk.stage.manager.room(CONVERSATION)
    assert room is not None
    await talk.stage.node.speech.say(room, "answer-1", "Theirs", answers=1)
    call.end()
    await talk.until(lambda: not talk.turns.waiting)
    assert talk.texts == [("answer-1", "Theirs", None)]
    assert talk.aborted == ["answer-1"]


@asynchronous
async def test_a_deleted_conversation_is_let_go_of() -> None:
    talk = Talk()
    (await talk.begin()).say("m1")
    call = await talk.ai.called(1)
    call.write("text")
    await talk.stage.conversations.delete([CONVERSATION])
    call.write("more")
    await talk.until(lambda: not talk.turns.waiting)
    assert talk.stage.manager.room(CONVERSATION) is None
