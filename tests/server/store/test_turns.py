"""What is owed to users and to the AI service: every store keeps it in the commits that make it so."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.model import (
    CANNOT_BE_STORED,
    MESSAGE_ID_CONFLICT,
    Advance,
    Conversation,
    Draft,
    Outcome,
    Position,
)
from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause
from server.ports import Batch, MessageStore
from server.protocol import MessageType
from server.store.memory import MemoryStore
from server.store.postgres import PostgresStore
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous
from tests.support.postgres_server import PostgresServer
from tests.support.store import NOW_MS, create, draft, opened, save, told

NewStore = Callable[..., MessageStore]
ANSWERED_BEFORE = Outcome.duplicate(0)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """The stores under test; `owes_answers` is true unless a test says otherwise."""
    if request.param == "memory":
        return lambda owes_answers=True: MemoryStore(owes_answers)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(request.getfixturevalue("postgres_database"))
        return lambda owes_answers=True: PostgresStore(url, owes_answers=owes_answers)
    return lambda owes_answers=True: SqliteStore(tmp_path / "chat.db", False, owes_answers=owes_answers)


def chat(room: Conversation, id: str, at: int = NOW_MS) -> Draft:
    return draft(room.key, id, created_at=at)


def answer(room: Conversation, answers: int | None, id: str = "", text: str = "hi", **fields: Any) -> Draft:
    name = id or f"answer-{answers}"
    fields |= {"type": MessageType.AI_RESPONSE, "answers": answers}
    return draft(room.key, name, text, "ai_alex", **fields)


async def advance(store: MessageStore, room: Conversation, seq: int) -> bool:
    (moved,) = await store.advance(Batch([Advance(room.key, Position.ANSWERED, seq, 0.0)]))
    return moved


async def turn_of(store: MessageStore, room: Conversation) -> OwedTurn | None:
    return next(iter(await store.owed(room.key - 1, 1)), None)


async def seqs_of_turn(
    store: MessageStore, room: Conversation, limit: int = 200, history: int = 20
) -> tuple[list[int], list[int]] | None:
    found = await store.read_turn(room.key, limit, history)
    return found and ([m.seq for m in found.messages], [m.seq for m in found.history])


# ---- owing and answering --------------------------------------------------------------------------------


@asynchronous
async def test_a_users_message_makes_the_conversation_owe_an_answer_from_it_on(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        await save(store, answer(a, None, "hello"))
        assert await store.owed(0, 10) == []
        await save(store, chat(a, "m1", at=5), chat(b, "m1", at=6), chat(a, "m2", at=7))
        await save(store, chat(a, "m3", at=8))
        assert await store.owed(0, 10) == [OwedTurn(a.key, "a", 2, 5), OwedTurn(b.key, "b", 1, 6)]
        assert await store.backlog() == Backlog(2, 5, 0)


@asynchronous
async def test_what_is_owed_is_read_in_pages(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        rooms = await create(store, "a", "b", "c", "d")
        await save(store, *(chat(room, "m1") for room in rooms if room.id != "b"))
        first = await store.owed(0, 2)
        assert [turn.conversation_id for turn in first] == ["a", "c"]
        assert [turn.conversation_id for turn in await store.owed(first[-1].conversation_key, 2)] == ["d"]


@asynchronous
async def test_what_is_owed_for_long_is_told_from_what_has_just_begun_or_waits_for_its_next_try(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        old, new, tried = await create(store, "old", "new", "tried")
        await save(store, chat(old, "m1", at=5), chat(new, "m1", at=20), chat(tried, "m1", at=6))
        turn = await turn_of(store, tried)
        assert turn is not None
        await store.note_attempt(turn.failed(1, next_at=30, error="away"))
        for before, expected in [(5, []), (6, ["old"]), (21, ["old", "new"]), (31, ["old", "new", "tried"])]:
            found = await store.owed(0, 10, before)
            assert sorted(each.conversation_id for each in found) == sorted(expected)


@asynchronous
async def test_without_a_responder_nothing_is_owed(new_store: NewStore) -> None:
    async with opened(new_store(owes_answers=False)) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"))
        assert await store.owed(0, 10) == []
        assert await seqs_of_turn(store, a) is None
        assert await store.backlog() == Backlog(0, None, 0)


def test_a_responder_that_is_switched_on_owes_answers_to_what_is_saved_from_then_on(tmp_path: Path) -> None:
    async def with_responder(owes: bool, *ids: str) -> tuple[list[int], list[int]] | None:
        async with opened(SqliteStore(tmp_path / "chat.db", False, owes_answers=owes)) as store:
            (a,) = await create(store, "a")
            await save(store, *(chat(a, id) for id in ids))
            return await seqs_of_turn(store, a, history=2)

    assert asyncio.run(with_responder(False, "m1", "m2", "m3")) is None
    assert asyncio.run(with_responder(True)) is None
    assert asyncio.run(with_responder(True, "m4", "m5")) == ([4, 5], [2, 3])
    assert asyncio.run(with_responder(False)) == ([4, 5], [2, 3])  # what is owed stays owed
    assert asyncio.run(with_responder(True, "m6")) == ([4, 5, 6], [2, 3])


@asynchronous
async def test_an_answer_moves_the_position_in_its_commit_and_what_came_meanwhile_is_the_next_turn(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), chat(a, "m2"))
        await save(store, chat(a, "m3", at=9))
        await store.note_attempt(
            OwedTurn(a.key, "a", 1, NOW_MS, last_seq=2, attempts=3, next_at=7, last_error="x")
        )
        assert await save(store, answer(a, 2)) == told(4)
        assert await store.position(a.key, Position.ANSWERED) == 2
        assert await turn_of(store, a) == OwedTurn(a.key, "a", 3, 9)
        assert await save(store, answer(a, 3)) == told(5)
        assert await turn_of(store, a) is None
        await save(store, chat(a, "m4", at=11))
        assert await turn_of(store, a) == OwedTurn(a.key, "a", 6, 11)


@asynchronous
async def test_an_answer_and_the_users_next_message_in_one_batch(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b, c = await create(store, "a", "b", "c")
        await save(store, chat(a, "m1"), chat(b, "m1"))
        await save(
            store,
            *(answer(a, 1), chat(a, "m2", at=5)),
            *(chat(b, "m2", at=6), answer(b, 1)),
            *(chat(c, "m1"), answer(c, 1)),
        )
        assert await store.owed(0, 10) == [OwedTurn(a.key, "a", 3, 5), OwedTurn(b.key, "b", 2, 6)]


@asynchronous
async def test_a_turn_is_answered_once(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), chat(a, "m2"))
        assert await save(store, answer(a, 2), answer(a, 2, "answer-2-2"), answer(a, 1)) == told(
            3, ANSWERED_BEFORE, ANSWERED_BEFORE
        )
        assert await save(store, answer(a, 2, text="otherwise")) == told(Outcome.duplicate(3))
        assert await save(store, answer(a, 2, "another id")) == told(ANSWERED_BEFORE)
        assert await save(store, answer(a, None, "on its own")) == told(4)


@asynchronous
async def test_a_cancelled_turn_is_answered_without_a_text(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"))
        assert await advance(store, a, 1)
        assert await turn_of(store, a) is None
        assert await save(store, answer(a, 1)) == told(ANSWERED_BEFORE)
        assert not await advance(store, a, 1)


@asynchronous
async def test_a_taken_turn_counts_as_answered_and_awaits_its_answer_once(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), chat(a, "m2"))
        assert not await store.is_answered(a.key, 2)
        assert await store.take(a.key, 2, NOW_MS)
        assert await turn_of(store, a) is None
        assert await store.position(a.key, Position.ANSWERED) == 2
        assert not await store.is_answered(a.key, 2)
        assert await store.is_answered(a.key, 1)
        await save(store, chat(a, "m3"), answer(a, 3))
        assert await save(store, answer(a, 1), answer(a, 2), answer(a, 2, "answer-2-2")) == told(
            ANSWERED_BEFORE, 5, ANSWERED_BEFORE
        )
        assert await store.is_answered(a.key, 2)
        assert await save(store, answer(a, 2, text="otherwise")) == told(Outcome.duplicate(5))
        assert await store.position(a.key, Position.ANSWERED) == 3


@asynchronous
async def test_late_answers_to_a_turn_that_come_at_once_are_one(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        await save(store, chat(a, "m1"), chat(b, "m1"))
        assert await store.take(a.key, 1, NOW_MS)
        assert await save(store, answer(a, 1), answer(a, 1, "answer-1-2"), answer(b, 1)) == told(
            2, ANSWERED_BEFORE, 2
        )
        assert [m.message_id for m in await store.history(a.key, 0, 10)] == ["m1", "answer-1"]


@asynchronous
async def test_a_late_answer_that_cannot_be_stored_is_still_awaited(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"))
        await store.take(a.key, 1, NOW_MS)
        assert await save(store, answer(a, 1, text="\ud800")) == told(CANNOT_BE_STORED)
        assert await save(store, answer(a, 1)) == told(2)


@asynchronous
async def test_a_turn_that_was_answered_is_not_taken(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), answer(a, 1))
        assert not await store.take(a.key, 1, NOW_MS)
        assert await store.is_answered(a.key, 1)
        await store.delete_conversations(["a"])
        assert not await store.take(a.key, 1, NOW_MS)


@asynchronous
async def test_a_taken_turn_is_cancelled_by_its_seq_or_with_all_others_while_it_can_be(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        for room in (a, b):
            for seq, until in ((1, 99), (2, 100), (3, 200), (4, 200), (5, 200)):
                await save(store, chat(room, f"m{seq}"))
                await store.take(room.key, seq, until)
        assert await store.cancel_taken(a.key, 3, [], 100) == [3]
        assert await store.cancel_taken(a.key, 3, [], 100) == []
        assert await store.cancel_taken(a.key, None, [5], 100) == [4]
        assert await store.cancel_taken(a.key, None, [], 300) == []
        wanted = [seq for seq in range(1, 6) if not await store.is_answered(a.key, seq)]
        assert wanted == [1, 2, 5]
        assert await save(store, answer(a, 4), answer(a, 5)) == told(ANSWERED_BEFORE, 6)
        assert sorted(await store.cancel_taken(b.key, None, [], 0)) == [1, 2, 3, 4, 5]


@asynchronous
async def test_an_answer_that_was_saved_without_its_position_moves_it_when_it_comes_again(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), answer(a, None, "answer-1"))
        assert await turn_of(store, a) is not None
        assert await save(store, answer(a, 1, text="other words")) == told(Outcome.duplicate(2))
        assert await turn_of(store, a) is None


@asynchronous
async def test_a_users_message_under_an_answers_id_does_not_answer(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "answer-1"))
        assert await save(store, answer(a, 1)) == told(MESSAGE_ID_CONFLICT)
        assert await store.position(a.key, Position.ANSWERED) == 0
        assert await turn_of(store, a) is not None


@asynchronous
async def test_an_answer_that_cannot_be_stored_leaves_its_turn_owed(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"))
        bad = answer(a, 1, text="\ud800", undelivered=True)
        assert await save(store, bad, chat(a, "m2")) == told(CANNOT_BE_STORED, 2)
        assert await store.position(a.key, Position.ANSWERED) == 0
        assert await seqs_of_turn(store, a) == ([1, 2], [])
        assert await store.undelivered((0, 0), 10) == []
        assert await save(store, answer(a, 2)) == told(3)


@asynchronous
async def test_a_message_that_cannot_be_stored_owes_nothing(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        assert await save(store, draft(a.key, "m1", "\ud800")) == told(CANNOT_BE_STORED)
        assert await turn_of(store, a) is None
        await save(store, chat(a, "m2"))
        assert await turn_of(store, a) is not None


@asynchronous
async def test_a_resend_owes_nothing(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), answer(a, 1))
        assert await save(store, chat(a, "m1")) == told(Outcome.duplicate(1))
        assert await save(store, answer(a, None, "on its own")) == told(3)
        assert await store.owed(0, 10) == []


@asynchronous
async def test_a_position_that_moves_before_the_turn_leaves_it_as_it_was_tried(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), answer(a, 1), answer(a, None, "on its own"), chat(a, "m4"))
        tried = OwedTurn(a.key, "a", 4, NOW_MS, last_seq=4, attempts=2, next_at=9, last_error="500")
        assert await store.note_attempt(tried)
        assert await advance(store, a, 3)
        assert await turn_of(store, a) == tried


# ---- what a responder is given --------------------------------------------------------------------------


@asynchronous
async def test_a_turn_is_the_oldest_messages_and_history_is_what_else_was_said(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), chat(a, "m2"), answer(a, 2))
        await save(store, chat(a, "m4"), answer(a, None, "meanwhile"), chat(a, "m6"), chat(a, "m7"))
        assert await seqs_of_turn(store, a) == ([4, 6, 7], [1, 2, 3, 5])
        assert await seqs_of_turn(store, a, history=2) == ([4, 6, 7], [3, 5])
        assert await seqs_of_turn(store, a, history=1) == ([4, 6, 7], [5])
        assert await seqs_of_turn(store, a, history=0) == ([4, 6, 7], [])
        assert await seqs_of_turn(store, a, limit=2) == ([4, 6], [1, 2, 3, 5])


@asynchronous
async def test_a_turn_that_was_tried_does_not_grow(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), chat(a, "m2"))
        turn = await turn_of(store, a)
        assert turn is not None
        tried = replace(turn, last_seq=2, attempts=1, next_at=77, last_error="503")
        assert await store.note_attempt(tried)
        await save(store, chat(a, "m3"), answer(a, None, "meanwhile"))
        assert await turn_of(store, a) == tried
        assert await seqs_of_turn(store, a) == ([1, 2], [4])
        await save(store, answer(a, 2))
        assert await seqs_of_turn(store, a) == ([3], [1, 2, 4, 5])


@asynchronous
async def test_an_attempt_at_a_turn_that_is_over_is_not_noted(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"))
        turn = await turn_of(store, a)
        assert turn is not None
        await save(store, answer(a, 1), chat(a, "m2", at=5))
        assert not await store.note_attempt(replace(turn, last_seq=1, attempts=9))
        assert not await store.give_up(replace(turn, last_seq=1), 100)
        assert await turn_of(store, a) == OwedTurn(a.key, "a", 3, 5)
        assert await store.dead_letters(10) == []


# ---- dead letters and the pause -------------------------------------------------------------------------


async def given_up(store: MessageStore, id: str, at: int) -> DeadLetter:
    """A conversation whose only message was given up."""
    (room,) = await create(store, id)
    await save(store, chat(room, "m1"))
    turn = await turn_of(store, room)
    assert turn is not None
    tried = replace(turn, last_seq=1, attempts=12, last_error="500")
    await store.note_attempt(tried)
    assert await store.give_up(tried, at)
    letter = (await store.dead_letters(1))[0]
    assert letter == DeadLetter(letter.id, room.key, id, 1, 1, 12, "500", at)
    return letter


@asynchronous
async def test_a_turn_that_is_given_up_is_a_dead_letter_and_the_conversation_goes_on(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        letter = await given_up(store, "a", 100)
        (a,) = await create(store, "a")
        assert await turn_of(store, a) is None
        assert await store.position(a.key, Position.ANSWERED) == 1
        assert (await store.backlog()).dead_letters == 1
        await save(store, chat(a, "m2"))
        assert await seqs_of_turn(store, a) == ([2], [1])
        assert await store.dead_letters(10) == [letter]


@asynchronous
async def test_dead_letters_are_marked_for_a_replay_and_kept_until_it_succeeds(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b, c = [await given_up(store, id, at) for id, at in (("a", 100), ("b", 200), ("c", 300))]
        assert await store.dead_letters(2) == [c, b]
        assert await store.replays(10) == []
        assert await store.replay_dead_letters("a", None) == 1
        assert await store.replay_dead_letters("unknown", None) == 0
        assert await store.replay_dead_letters(None, 300) == 1
        assert await store.replays(10) == [a, c]
        again = replace(a, attempts=13, last_error="502", failed_at=400)
        await store.end_replay(again)
        await store.delete_dead_letter(c.id)
        assert await store.replays(10) == []
        assert await store.dead_letters(10) == [b, again]
        assert await store.replay_dead_letters(None, None) == 2
        assert await store.replays(1) == [again]


@asynchronous
async def test_dead_letters_are_deleted_by_their_conversation_and_with_it(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        c = [await given_up(store, id, 100) for id in "abc"][2]
        assert await store.delete_dead_letters("a") == 1
        assert await store.delete_dead_letters("a") == 0
        await store.delete_conversations(["b"])
        assert await store.dead_letters(10) == [c]
        assert await store.replay_dead_letters(None, None) == 1


@asynchronous
async def test_a_dead_letter_awaits_its_answer_and_goes_with_it(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        given, dropped = [await given_up(store, id, 100) for id in "ab"]
        (a,), (b,) = await create(store, "a"), await create(store, "b")
        assert not await store.is_answered(a.key, 1)
        assert await save(store, answer(a, 1, text="\ud800")) == told(CANNOT_BE_STORED)
        assert await store.dead_letters(10) == [dropped, given]
        assert await save(store, answer(a, 1)) == told(2)
        await store.delete_dead_letters("b")
        assert await save(store, answer(b, 1)) == told(ANSWERED_BEFORE)
        assert await store.dead_letters(10) == []


@asynchronous
async def test_a_dead_letter_that_is_taken_is_one_no_more_and_its_answer_awaited(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        letter = await given_up(store, "a", 100)
        assert await store.take(letter.conversation_key, 1, 200)
        assert await store.dead_letters(10) == []
        assert not await store.is_answered(letter.conversation_key, 1)
        assert await store.cancel_taken(letter.conversation_key, None, [], 100) == [1]
        assert await store.is_answered(letter.conversation_key, 1)


@asynchronous
async def test_a_pause_lasts_until_it_is_ended_and_keeps_its_first_reason(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        assert await store.paused() is None
        await store.pause(Pause(5, "410 Gone"))
        await store.pause(Pause(6, "an operator"))
        assert await store.paused() == Pause(5, "410 Gone")
        await store.resume()
        await store.resume()
        assert await store.paused() is None


# ---- news of what no device has seen --------------------------------------------------------------------


@asynchronous
async def test_an_undelivered_message_is_marked_in_its_commit_until_its_news_is_told(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        await save(store, chat(a, "m1"), answer(a, 1, undelivered=True), answer(b, None, "x"))
        await save(store, answer(b, None, "y", undelivered=True))
        found = await store.undelivered((0, 0), 10)
        assert [(u.conversation_id, u.conversation_key, u.message.seq) for u in found] == [
            ("a", a.key, 2),
            ("b", b.key, 2),
        ]
        assert found[0].message == await store.find_message(a.key, "answer-1")
        assert len(await store.undelivered((0, 0), 1)) == 1
        above = [await store.undelivered(after, 10) for after in ((a.key, 1), (a.key, 2), (b.key, 2))]
        assert [[u.conversation_id for u in page] for page in above] == [["a", "b"], ["b"], []]
        await store.news_told([(a.key, 2), (a.key, 99)])
        assert [u.conversation_id for u in await store.undelivered((0, 0), 10)] == ["b"]
        assert await save(store, answer(a, None, "answer-1", undelivered=True)) == told(Outcome.duplicate(2))
        assert [u.conversation_id for u in await store.undelivered((0, 0), 10)] == ["b"]


@asynchronous
async def test_a_deleted_conversation_owes_nothing(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, chat(a, "m1"), answer(a, None, "x", undelivered=True))
        await store.delete_conversations(["a"])
        (anew,) = await create(store, "a")
        assert await store.owed(0, 10) == []
        assert await store.undelivered((0, 0), 10) == []
        assert await store.backlog() == Backlog(0, None, 0)
        await save(store, chat(anew, "m1", at=3))
        assert await store.owed(0, 10) == [OwedTurn(anew.key, "a", 1, 3)]
