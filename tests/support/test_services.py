"""The services that tests start are real, empty at first, and survive what tests do to them."""

import signal

import redis

from tests.support.postgres_server import PostgresServer
from tests.support.valkey_server import ValkeyServer


def test_each_database_is_empty_and_its_own(postgres: PostgresServer, postgres_database: str) -> None:
    another = postgres.create_database()
    postgres.sql("CREATE TABLE t (n int)", another)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert (postgres.sql(tables, another), postgres.sql(tables, postgres_database)) == ("1", "0")
    postgres.drop_database(another)


def test_what_postgresql_committed_is_there_after_it_ended_at_once(
    postgres: PostgresServer, postgres_database: str
) -> None:
    postgres.sql("CREATE TABLE t AS SELECT 7 AS n", postgres_database)
    postgres.restart(signal.SIGQUIT)
    assert postgres.sql("SELECT n FROM t", postgres_database) == "7"


def test_valkey_forgets_at_a_restart_and_keeps_its_port(valkey: ValkeyServer) -> None:
    with redis.Redis(port=valkey.port) as client:
        client.set("k", "v")
        assert client.get("k") == b"v"
    valkey.restart()
    with redis.Redis.from_url(valkey.url()) as client:
        assert client.get("k") is None
