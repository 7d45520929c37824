"""The PostgreSQL database: who sets it up, which schema it has, and whether it is the one of before."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from server.ports import StoreUnavailable
from server.store.postgres import PostgresStore, origin, schema
from server.store.postgres.administration import read_version, upgrade
from server.store.schema_faults import SchemaTooNew, SchemaTooOld
from tests.support.asynchronous import asynchronous
from tests.support.certificates import make_certificates
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer
from tests.support.store import create, draft, opened, save, told


@pytest.fixture
def url(postgres: PostgresServer, postgres_database: str) -> str:
    return postgres.url(postgres_database)


@asynchronous
async def test_nodes_that_come_at_once_to_an_empty_database_set_it_up_once(
    url: str, postgres: PostgresServer, postgres_database: str
) -> None:
    stores = [PostgresStore(url, pool=3) for _ in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    created = [(await create(store, "a"))[0] for store in stores]
    assert created == [created[0]] * 5
    for store in stores:
        await store.close()
    versions = postgres.sql("SELECT version FROM schema_versions ORDER BY version", postgres_database)
    assert versions.split() == [str(number) for number in range(1, schema.NEWEST + 1)]


@asynchronous
async def test_an_older_schema_waits_for_its_upgrade_and_a_newer_one_is_not_touched(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(PostgresStore(url)):
        assert await read_version(url) == schema.NEWEST
    later = (*schema.MIGRATIONS, "ALTER TABLE messages ADD COLUMN news text")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", later)
        patch.setattr(schema, "NEWEST", len(later))
        with pytest.raises(SchemaTooOld, match="run chatctl db upgrade"):
            await PostgresStore(url).open()
        await asyncio.gather(*(upgrade(url) for _ in range(3)))
        async with opened(PostgresStore(url)) as store:
            (a,) = await create(store, "a")
            assert await save(store, draft(a.key, "m1")) == told(1)
    with pytest.raises(SchemaTooNew, match=f"this program knows {schema.NEWEST}"):
        await PostgresStore(url).open()
    with pytest.raises(SchemaTooNew):
        await upgrade(url)


@asynchronous
async def test_a_migration_that_fails_leaves_the_version_before_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (*schema.MIGRATIONS, "ALTER TABLE messages ADD COLUMN news text; SELECT 1 / 0")
    await upgrade(url)
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with pytest.raises(StoreUnavailable, match="division by zero"):
        await upgrade(url)
    assert await read_version(url) == len(later) - 1
    async with opened(PostgresStore(url)) as store:
        assert await store.is_healthy()


def test_a_server_ends_with_2_and_one_line_where_it_cannot_use_the_database(
    tmp_path: Path, url: str, postgres: PostgresServer, postgres_database: str
) -> None:
    asyncio.run(upgrade(url))
    postgres.sql("INSERT INTO schema_versions VALUES (99, now())", postgres_database)
    for store_url, why in (
        (url, "schema has version 99"),
        ("postgresql://kai:hush@127.0.0.1:1/chat", "Connect"),
        (url.replace("/test", "/no_test"), "does not exist"),
    ):
        ended = RunningServer.attempt(tmp_path, store__url=store_url)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1 and why in ended.stderr, ended.stderr
        assert "hush" not in ended.stderr


@asynchronous
async def test_with_less_durability_only_commits_do_not_wait_for_the_disk(url: str) -> None:
    found = []
    for is_durable in (True, False):
        async with opened(PostgresStore(url, is_durable=is_durable)) as store:
            assert isinstance(store, PostgresStore)
            for link in (store._lanes[0].link, store._readers.all[0]):
                found += [(await link.fetch("SHOW synchronous_commit"))[0][0]]
    assert found == ["on", "on", "off", "on"]


def test_without_the_driver_the_line_that_installs_it_is_told(tmp_path: Path) -> None:
    without = "import sys; sys.modules['asyncpg'] = None; from chatctl.__main__ import main; sys.exit(main())"
    for command in (["serve"], ["db", "status"]):
        ended = subprocess.run(
            [sys.executable, "-c", without, *command, "--store", "postgresql://h/chat"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in (1, 2) and ended.stderr.count("\n") == 1
        assert ended.stderr.endswith("PostgreSQL needs its driver: pip install 'chatctl[cluster]'\n")


@asynchronous
async def test_the_url_says_whether_the_servers_certificate_is_looked_at(
    url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    if not postgres.has_tls:
        pytest.skip("this PostgreSQL was built without TLS: apt-get install postgresql")
    certificates = make_certificates(tmp_path)
    postgres.speak_tls(certificates.server_pem)
    async with opened(
        PostgresStore(f"{url}?sslmode=verify-full&sslrootcert={certificates.authority}")
    ) as store:
        assert isinstance(store, PostgresStore)
        tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert (await store._lanes[0].link.fetch(tls))[0][0] is True
    (tmp_path / "another").mkdir()
    another = make_certificates(tmp_path / "another").authority
    with pytest.raises(StoreUnavailable, match="certificate"):
        await PostgresStore(f"{url}?sslmode=verify-full&sslrootcert={another}").open()


# ---- a restored database, or a failover ------------------------------------------------------------------


def pretend_another(postgres: PostgresServer, database: str) -> None:
    """As where the rows came from another server."""
    postgres.sql("UPDATE origin SET identity = '1/00000001/1'", database)


@asynchronous
async def test_the_epoch_stays_over_restarts_and_for_every_node(url: str) -> None:
    async with opened(PostgresStore(url)) as store, opened(PostgresStore(url)) as other:
        (a,) = await create(store, "a")
        assert await other.find_conversation("a") == a
    async with opened(PostgresStore(url)) as store:
        assert await store.find_conversation("a") == a


@asynchronous
async def test_a_database_that_another_server_wrote_begins_new_epochs_once(
    url: str, postgres: PostgresServer, postgres_database: str
) -> None:
    async with opened(PostgresStore(url)) as store:
        (a,) = await create(store, "a")
    pretend_another(postgres, postgres_database)
    stores = [PostgresStore(url, pool=3) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    found = [await store.find_conversation("a") for store in stores]
    summaries = [(await store.summaries("kai", 5))[0].conversation for store in stores]
    for store in stores:
        await store.close()
    assert len({conversation.epoch for conversation in (*found, *summaries) if conversation}) == 1
    assert found[0] is not None and found[0].epoch != a.epoch
    async with opened(PostgresStore(url)) as store:
        (again,) = await create(store, "a")
        assert again.epoch == found[0].epoch


@asynchronous
async def test_a_running_node_hears_of_a_failover_before_it_saves_there(
    url: str, postgres: PostgresServer, postgres_database: str
) -> None:
    async with opened(PostgresStore(url)) as store:
        (a,) = await create(store, "a")
        told_before: list[int] = []
        store.when_replaced(lambda: told_before.append(saved))
        saved = 0
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        pretend_another(postgres, postgres_database)
        assert await save(store, draft(a.key, "m1")) == told(1)
        saved = 1
        assert told_before == [0]
        found = await store.find_conversation("a")
        assert found is not None and found.epoch != a.epoch
        assert told_before == [0]


@asynchronous
async def test_a_change_of_the_timeline_or_of_the_system_is_another_database(
    url: str, postgres: PostgresServer, postgres_database: str
) -> None:
    async with opened(PostgresStore(url)):
        identity = postgres.sql("SELECT identity FROM origin", postgres_database)
    control = postgres.sql("SELECT system_identifier FROM pg_control_system()")
    timeline = postgres.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    oid = postgres.sql(f"SELECT oid FROM pg_database WHERE datname = '{postgres_database}'")
    assert identity == f"{control}/{int(timeline):08X}/{oid}"
    assert (
        postgres.sql(f"SELECT {origin._IDENTITY.strip().removeprefix('SELECT')}", postgres_database)
        == identity
    )
