"""What the store on PostgreSQL does when the server or the wire does not do as it is told."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from server.core.model import OUTCOME_UNKNOWN, STORE_UNAVAILABLE, Advance, Outcome, Position
from server.ports import Batch, StoreUnavailable
from server.store.postgres import PostgresStore, lane
from tests.support.asynchronous import asynchronous
from tests.support.postgres_server import PostgresServer
from tests.support.store import create, draft, opened, save, told, whole_history
from tests.support.tcp_proxy import Fate, TcpProxy, tcp_proxy

TIMEOUT = 1.0  # of the store, seconds
NewStore = Callable[..., PostgresStore]


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with tcp_proxy(postgres.port) as it:
        yield it


@pytest.fixture
def new_store(postgres: PostgresServer, postgres_database: str, proxy: TcpProxy) -> NewStore:
    """Makes stores on one database, behind the proxy."""
    url = postgres.url(postgres_database, proxy.port)
    return lambda pool=4: PostgresStore(url, TIMEOUT, pool)


@contextmanager
def locked(server: PostgresServer, database: str, statement: str) -> Iterator[None]:
    """Another session holds what the statement locks."""
    done, is_held = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(server.url(database))
        async with connection.transaction():
            await connection.fetch(statement)
            is_held.set()
            await asyncio.to_thread(done.wait)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert is_held.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


async def lose_all(proxy: TcpProxy) -> None:
    """Cuts every connection, which the store notices, and refuses new ones."""
    proxy.refuse()
    proxy.cut()
    await asyncio.sleep(0.05)


@asynchronous
async def test_a_commit_whose_answer_is_lost_is_answered_as_saved(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        proxy.spoil_answer(b"mark-1")
        assert await save(store, draft(a.key, "mark-1"), draft(a.key, "m2")) == told(1, 2)
        assert await save(store, draft(a.key, "m3")) == told(3)
        assert [m.message_id for m in await whole_history(store, a.key)] == ["mark-1", "m2", "m3"]


@asynchronous
async def test_a_commit_that_is_answered_by_silence_is_looked_up(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        proxy.spoil_answer(b"mark-1", Fate.SILENT)
        assert await save(store, draft(a.key, "mark-1")) == told(1)
        assert await save(store, draft(a.key, "m2")) == told(2)


@asynchronous
async def test_after_a_lost_answer_a_duplicate_is_told_apart_from_what_is_new(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await save(store, draft(a.key, "old", created_at=1))
        proxy.spoil_answer(b"mark-1")
        found = await save(store, draft(a.key, "mark-1"), draft(a.key, "old"))
        assert found == told(2, Outcome.duplicate(1))


@asynchronous
async def test_what_the_server_never_got_is_not_saved_even_if_it_arrives_later(
    new_store: NewStore, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy still has the statement when the lookup has found nothing: it must not be done any more."""
    monkeypatch.setattr(lane, "_AGAIN_SECONDS", 0.0)
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        proxy.hold_request(b"mark-1")
        assert await save(store, draft(a.key, "mark-1")) == told(STORE_UNAVAILABLE)
        proxy.release()
        await asyncio.sleep(0.3)
        assert await whole_history(store, a.key) == []
        assert await save(store, draft(a.key, "m2")) == told(1)


@asynchronous
async def test_what_was_lost_on_its_way_is_saved_on_a_new_connection(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        proxy.cut()  # the store learns of it by its next statement
        assert await save(store, draft(a.key, "m1"), draft(a.key, "m2")) == told(1, 2)
        assert [m.seq for m in await whole_history(store, a.key)] == [1, 2]


@asynchronous
async def test_an_outcome_that_cannot_be_looked_up_is_unknown_and_a_resend_settles_it(
    new_store: NewStore, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_IN_DOUBT_SECONDS", 0.3)
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        proxy.refuse()
        proxy.spoil_answer(b"mark-1")
        assert await save(store, draft(a.key, "mark-1")) == told(OUTCOME_UNKNOWN)
        proxy.accept()
        assert await save(store, draft(a.key, "mark-1")) == told(Outcome.duplicate(1))


@asynchronous
async def test_connections_that_were_cut_are_made_anew_and_nobody_notices(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        await save(store, draft(a.key, "m1"))
        for number in range(2, 5):
            proxy.cut()
            assert await save(store, draft(a.key, f"m{number}")) == told(number)
            assert await save(store, draft(b.key, f"m{number}")) == told(number - 1)
            assert [m.seq for m in await whole_history(store, a.key)] == list(range(1, number + 1))
            assert (await store.find_conversation("a")) is not None
            await asyncio.sleep(0.05)


@asynchronous
async def test_a_server_that_ends_at_once_and_starts_again_loses_no_answered_message(
    new_store: NewStore, postgres: PostgresServer
) -> None:
    async with opened(new_store()) as store:
        rooms = await create(store, *"abcdef")
        saved: dict[int, list[str]] = {room.key: [] for room in rooms}
        unsaved: set[str] = set()
        is_over = asyncio.Event()

        async def talk(key: int) -> None:
            number = 0
            while not is_over.is_set():
                number += 1
                (outcome,) = await save(store, draft(key, f"m{number}"))
                if outcome.is_new:
                    saved[key].append(f"m{number}")
                else:
                    assert outcome.refusal in (STORE_UNAVAILABLE, OUTCOME_UNKNOWN)
                    unsaved.add(f"{key}/m{number}")

        talking = [asyncio.create_task(talk(room.key)) for room in rooms]
        for number in (signal.SIGQUIT, signal.SIGINT):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(postgres.restart, number)
        await asyncio.sleep(0.3)
        is_over.set()
        await asyncio.gather(*talking)
        for key, names in saved.items():
            history = await whole_history(store, key)
            assert [m.seq for m in history] == list(range(1, len(history) + 1))
            found = [m.message_id for m in history]
            assert len(names) > 10 and [name for name in found if name in names] == names
            assert all(f"{key}/{name}" in unsaved for name in found if name not in names)


@asynchronous
async def test_while_the_server_is_down_messages_wait_and_what_is_withdrawn_is_not_saved(
    new_store: NewStore, postgres: PostgresServer
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await asyncio.to_thread(postgres.stop)
        try:
            batch = Batch([draft(a.key, "m1"), draft(a.key, "m2")])
            saving = asyncio.ensure_future(store.save(batch))
            with pytest.raises(StoreUnavailable):
                await store.find_conversation("a")
            assert not await store.is_healthy()
            with pytest.raises(StoreUnavailable):
                await store.advance(Batch([Advance(a.key, Position.USER_READ, 1, 0.0)]))
            assert len(batch.withdraw(lambda d: d.message_id == "m1") or []) == 1
        finally:
            await asyncio.to_thread(postgres.start)
        assert await saving == told(1)
        assert [m.message_id for m in await whole_history(store, a.key)] == ["m2"]
        assert await store.is_healthy()


@asynchronous
async def test_a_batch_that_is_withdrawn_while_the_server_is_down_ends(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await lose_all(proxy)
        batch = Batch([draft(a.key, "m1")])
        saving = asyncio.ensure_future(store.save(batch))
        await asyncio.sleep(0.2)
        assert not saving.done()
        batch.withdraw(lambda d: True)
        assert await saving == []
        proxy.accept()
        assert await save(store, draft(a.key, "m2")) == told(1)


@asynchronous
async def test_a_lock_that_another_holds_costs_its_lane_alone(
    new_store: NewStore, postgres: PostgresServer, postgres_database: str
) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        with locked(postgres, postgres_database, f"SELECT FROM conversations WHERE key = {a.key} FOR UPDATE"):
            started = time.monotonic()
            waiting = asyncio.ensure_future(save(store, draft(a.key, "m1")))
            assert await save(store, draft(b.key, "m1")) == told(1)
            assert not waiting.done()
            assert await waiting == told(STORE_UNAVAILABLE)
            assert time.monotonic() - started < TIMEOUT
        assert await save(store, draft(a.key, "m1")) == told(1)


@asynchronous
async def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_nothing_is_saved(
    new_store: NewStore, postgres: PostgresServer, postgres_database: str
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        postgres.sql(
            "CREATE FUNCTION wait() RETURNS trigger AS"
            " 'BEGIN PERFORM pg_sleep(20); RETURN new; END' LANGUAGE plpgsql;"
            "CREATE TRIGGER slow BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION wait()",
            postgres_database,
        )
        started = time.monotonic()
        assert await save(store, draft(a.key, "m1")) == told(STORE_UNAVAILABLE)
        assert time.monotonic() - started < TIMEOUT + 1
        postgres.sql("DROP TRIGGER slow ON messages", postgres_database)
        assert await save(store, draft(a.key, "m2")) == told(1)


@asynchronous
async def test_a_slow_wire_delays_and_loses_nothing(new_store: NewStore, proxy: TcpProxy) -> None:
    async with opened(new_store()) as store:
        a, b = await create(store, "a", "b")
        proxy.delay(0.1)
        saves = [save(store, draft(room.key, f"m{n}")) for n in range(3) for room in (a, b)]
        assert await asyncio.gather(*saves) == [told(1), told(1), told(2), told(2), told(3), told(3)]


@asynchronous
async def test_two_nodes_that_save_into_the_same_conversations_neither_wait_for_ever_nor_leave_a_hole(
    new_store: NewStore,
) -> None:
    async with opened(new_store()) as one, opened(new_store()) as other:
        rooms = await create(one, *(f"c{number:03}" for number in range(150)))

        async def talk(store: PostgresStore, name: str) -> None:
            for turn in range(20):
                drafts = [draft(room.key, f"{name}-{turn}") for room in rooms]
                if name == "b":
                    drafts.reverse()
                assert all(outcome.is_new for outcome in await save(store, *drafts))

        await asyncio.gather(talk(one, "a"), talk(other, "b"))  # type: ignore[arg-type]
        for room in rooms:
            history = await whole_history(other, room.key)
            assert [m.seq for m in history] == list(range(1, 41))
            for name in "ab":
                said = [m.message_id for m in history if m.message_id.startswith(name)]
                assert said == [f"{name}-{turn}" for turn in range(20)]


@asynchronous
async def test_the_same_message_sent_to_two_nodes_at_once_is_saved_once(new_store: NewStore) -> None:
    async with opened(new_store()) as one, opened(new_store()) as other:
        (a,) = await create(one, "a")
        for number in range(1, 21):
            found = await asyncio.gather(*(save(store, draft(a.key, f"m{number}")) for store in (one, other)))
            assert sorted(outcome.is_new for (outcome,) in found) == [False, True]
            assert {outcome.seq for (outcome,) in found} == {number}


@asynchronous
async def test_what_the_database_says_is_logged_once_for_as_long_as_it_lasts(
    new_store: NewStore, proxy: TcpProxy
) -> None:
    async with opened(new_store()) as store:
        (a,) = await create(store, "a")
        await lose_all(proxy)
        with capture_logs() as logs:
            saving = asyncio.ensure_future(save(store, draft(a.key, "m1")))
            await asyncio.sleep(0.5)
            proxy.accept()
            assert await saving == told(1)
        assert [line["event"] for line in logs] == ["the database does not save"]
