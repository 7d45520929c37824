"""What every store does alike."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from server.core.model import CANNOT_BE_STORED, MESSAGE_ID_CONFLICT, Outcome, StoredMessage
from server.ports import Batch, MessageStore
from server.protocol import MessageType
from server.store import sqlite
from server.store.memory import MemoryStore
from server.store.postgres import PostgresStore
from server.store.sqlite import SqliteStore
from server.store.timed import TimedStore
from tests.support.asynchronous import asynchronous
from tests.support.postgres_server import PostgresServer
from tests.support.store import NOW_MS, create, draft, new_conversation, opened, save, told, whole_history

NewStore = Callable[[], MessageStore]


@pytest.fixture(
    params=["memory", "memory, timed", "sqlite, nobody waits", "sqlite, the loop waits", "postgresql"]
)
def new_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewStore:
    """The stores under test; SQLite's also in each of the two places where it commits."""
    if request.param == "memory":
        return MemoryStore
    if request.param == "memory, timed":
        return lambda: TimedStore(MemoryStore(), 60.0)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(request.getfixturevalue("postgres_database"))
        return lambda: PostgresStore(url)
    monkeypatch.setattr(sqlite, "_QUICK_SECONDS", 60.0 if "loop" in request.param else 0.0)
    return lambda: SqliteStore(tmp_path / "chat.db")


@asynchronous
async def test_seqs_rise_by_one_per_conversation_in_the_order_of_the_drafts(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b = [conversation.key for conversation in await create(store, "a", "b")]
        first = await save(store, draft(a, "m1"), draft(b, "m1"), draft(a, "m2"), draft(a, "m3"))
        second = await save(store, draft(b, "m2"), draft(a, "m4"))
        assert (first, second) == (told(1, 1, 2, 3), told(2, 4))
        assert [message.message_id for message in await whole_history(store, a)] == ["m1", "m2", "m3", "m4"]


@asynchronous
async def test_a_batch_of_any_size_is_saved_in_order(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        expected = 0
        for size in (1, 2, 3, 127, 128, 129, 300):
            drafts = [draft(a.key, f"{size}-{number}") for number in range(size)]
            assert await save(store, *drafts) == told(*range(expected + 1, expected + size + 1))
            expected += size
        assert [m.seq for m in await whole_history(store, a.key)] == list(range(1, expected + 1))


@asynchronous
async def test_a_message_is_read_as_it_was_saved(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        said = draft(
            a.key,
            "m1",
            data='quotes " \\ \n é 😀',
            sender="ai_alex",
            type=MessageType.AI_RESPONSE,
            client_timestamp="2026-11-23T10:00:00Z",
            finish="cancelled",
        )
        await save(store, said)
        stored = StoredMessage(
            1,
            "m1",
            MessageType.AI_RESPONSE,
            "ai_alex",
            'quotes " \\ \n é 😀',
            NOW_MS,
            "2026-11-23T10:00:00Z",
            "cancelled",
        )
        found = await store.find_message(a.key, "m1")
        assert found == stored
        assert type(found.type) is MessageType
        assert await whole_history(store, a.key) == [stored]
        assert await store.find_message(a.key, "m2") is None


@asynchronous
async def test_a_resend_is_a_duplicate_and_takes_no_seq(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        once = draft(a.key, "m1")
        assert await save(store, once) == told(1)
        later = replace(once, created_at=NOW_MS + 5, client_timestamp="2026-11-23T10:00:00Z")
        assert await save(store, later, draft(a.key, "m2")) == told(Outcome.duplicate(1), 2)
        assert len(await whole_history(store, a.key)) == 2


@asynchronous
async def test_a_resend_within_one_batch_is_a_duplicate(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        assert await save(store, draft(a.key, "m1"), draft(a.key, "m1"), draft(a.key, "m2")) == told(
            1,
            Outcome.duplicate(1),
            2,
        )


@asynchronous
async def test_a_message_id_used_for_something_else_is_a_conflict(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b = [conversation.key for conversation in await create(store, "a", "b")]
        await save(store, draft(a, "m1"))
        outcomes = await save(
            store,
            draft(a, "m1", data="other"),
            draft(a, "m1", sender="ai_alex"),
            draft(a, "m1", type=MessageType.AI_RESPONSE),
            draft(b, "m1", data="other"),
            draft(a, "m2"),
        )
        assert outcomes == told(MESSAGE_ID_CONFLICT, MESSAGE_ID_CONFLICT, MESSAGE_ID_CONFLICT, 1, 2)
        found = await store.find_message(a, "m1")
        assert found is not None and found.data == "hello"


@asynchronous
async def test_a_draft_that_cannot_be_stored_fails_alone(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        found = await save(store, draft(a.key, "m1"), draft(a.key, "m2", data="\ud800"), draft(a.key, "m3"))
        assert found == told(1, CANNOT_BE_STORED, 2)
        assert [m.message_id for m in await whole_history(store, a.key)] == ["m1", "m3"]
        assert await save(store, draft(a.key, "m4")) == told(3)


@asynchronous
async def test_what_was_withdrawn_is_not_saved(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        batch = Batch([draft(a.key, "m1"), draft(a.key, "m2")])
        withdrawn = batch.withdraw(lambda d: d.message_id == "m1")
        assert withdrawn is not None and [d.message_id for d in withdrawn] == ["m1"]
        assert await store.save(batch) == told(1)
        assert batch.withdraw(lambda d: True) is None
        assert [m.message_id for m in await whole_history(store, a.key)] == ["m2"]


@asynchronous
async def test_a_batch_of_which_all_was_withdrawn_changes_nothing_and_the_next_is_saved(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        batch = Batch([draft(a.key, "m1")])
        batch.withdraw(lambda d: True)
        assert await store.save(batch) == told()
        assert await save(store, draft(a.key, "m2")) == told(1)


@asynchronous
async def test_saves_are_answered_in_the_order_in_which_they_were_asked_for(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        answered: list[int] = []
        saves = [store.save(Batch([draft(a.key, f"m{number}")])) for number in range(20)]
        for number, saved in enumerate(saves):
            saved.when_over(partial(lambda number, results, fault: answered.append(number), number))
        assert [await saved for saved in saves] == [told(number) for number in range(1, 21)]
        await asyncio.sleep(0)  # the last one may have been over before it was awaited
        assert answered == list(range(20))


@asynchronous
async def test_history_is_paged_both_ways(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        a, b = [conversation.key for conversation in await create(store, "a", "b")]
        for number in range(1, 11):
            await save(store, draft(a, f"m{number}"), draft(b, f"other{number}"))

        async def after(seq: int, limit: int) -> list[int]:
            return [m.seq for m in await store.history(a, seq, limit)]

        async def before(seq: int | None, limit: int) -> list[int]:
            return [m.seq for m in await store.history_before(a, seq, limit)]

        assert await after(0, 3) == [1, 2, 3]
        assert await after(8, 3) == [9, 10]
        assert await after(10, 3) == await after(10**18, 3) == []
        assert await before(None, 3) == await before(10**18, 3) == [8, 9, 10]
        assert await before(3, 5) == [1, 2]
        assert await before(1, 5) == await before(0, 5) == []
        assert {m.message_id[0] for m in await whole_history(store, a)} == {"m"}


@asynchronous
async def test_an_unknown_conversation_is_none_and_a_created_one_is_found(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        assert await store.find_conversation("a") is None
        (created,) = await create(store, "a")
        assert (created.id, created.user_id, created.epoch, created.last_seq) == ("a", "kai", "e1", 0)
        assert created.ai == {"id": "ai_alex", "name": "Alex", "mood": "é ☕"}
        assert await store.find_conversation("a") == created
        await save(store, draft(created.key, "m1"), draft(created.key, "m2"))
        assert await store.find_conversation("a") == replace(created, last_seq=2)


@asynchronous
async def test_heads_are_the_newest_seqs_of_the_conversations_that_there_are(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        some, none, gone, other = await create(store, "a", "b", "c", "d")
        await save(store, draft(some.key, "m1"), draft(some.key, "m2"), draft(other.key, "m1"))
        await save(store, draft(gone.key, "m1"))
        await store.delete_conversations(["c"])
        assert await store.heads([some.key, none.key, gone.key]) == {some.key: 2, none.key: 0}
        assert await store.heads([]) == {}


@asynchronous
async def test_a_conversation_stays_with_the_user_who_came_first(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        both = Batch([new_conversation("a", "kai", "e1"), new_conversation("a", "eve", "e2")])
        first, second = await store.create_conversations(both)
        assert first == second
        await save(store, draft(first.key, "m1"))
        (third,) = await store.create_conversations(Batch([new_conversation("a", "eve", "e3")]))
        assert third == replace(first, last_seq=1)
        assert (third.user_id, third.epoch) == ("kai", "e1")


@asynchronous
async def test_conversations_created_at_the_same_time_each_get_a_key_of_their_own(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as store:
        created = await asyncio.gather(*(create(store, f"c{n % 10}", f"d{n}") for n in range(30)))
        keys = {conversation.id: conversation.key for pair in created for conversation in pair}
        assert len(keys) == len(set(keys.values())) == 40
        assert all(conversation.key == keys[conversation.id] for pair in created for conversation in pair)


@asynchronous
async def test_a_creation_that_was_withdrawn_leaves_nothing(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        batch = Batch([new_conversation("a")])
        batch.withdraw(lambda c: True)
        assert await store.create_conversations(batch) == []
        assert await store.find_conversation("a") is None


@asynchronous
async def test_an_open_store_is_healthy(new_store: NewStore) -> None:
    async with opened(new_store()) as store:
        assert await store.is_healthy()
