"""What a commit on PostgreSQL costs, by driver and lanes: python -m tests.benchmarks.postgres

Every lane commits one batch after the other, fsync and synchronous_commit on. Microseconds of CPU are for
one message, of this process and of PostgreSQL's. [--drivers asyncpg,psycopg] [--lanes 1,4,8]
[--batches 1,10,100] [--seconds 2] [--statements lean,lookup]
"""

import argparse
import asyncio
import itertools
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import asyncpg
import psycopg
import uvloop

from tests.benchmarks.hotpath import TEXT
from tests.support.postgres_server import PostgresServer, find_programs, postgres_server

CONVERSATIONS: Final = 104  # shared by the lanes
SCHEMA: Final = """
CREATE TABLE conversations (
    key bigint PRIMARY KEY, last_seq bigint NOT NULL DEFAULT 0, id text NOT NULL, ai text NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE messages (
    conversation bigint NOT NULL, seq bigint NOT NULL, id_hash bigint NOT NULL, created_at bigint NOT NULL,
    message_id text NOT NULL, type text NOT NULL, sender text NOT NULL, data text NOT NULL,
    client_timestamp text, finish text, PRIMARY KEY (conversation, seq)
);
CREATE UNIQUE INDEX messages_by_id ON messages (conversation, id_hash);
INSERT INTO conversations SELECT n, 0, 'c' || n, '{}' FROM generate_series(0, 103) n
"""
ROWS: Final = """unnest({}::bigint[], {}::int[], {}::bigint[], {}::bigint[], {}::text[], {}::text[],
    {}::text[], {}::text[], {}::text[], {}::text[])
    AS d(conversation, place, id_hash, created_at, message_id, type, sender, data, client_timestamp,
        finish)"""
LEAN: Final = (
    """
WITH head AS (
    UPDATE conversations c SET last_seq = c.last_seq + h.count
    FROM unnest({}::bigint[], {}::int[]) AS h(key, count) WHERE c.key = h.key
    RETURNING c.key, c.last_seq - h.count AS base
), added AS (
    INSERT INTO messages (conversation, seq, id_hash, created_at, message_id, type, sender, data,
        client_timestamp, finish)
    SELECT d.conversation, head.base + d.place, d.id_hash, d.created_at, d.message_id, d.type, d.sender,
        d.data, d.client_timestamp, d.finish
    FROM """
    + ROWS
    + """ JOIN head ON head.key = d.conversation
) SELECT key, base FROM head"""
)
LOOKUP: Final = (
    """
WITH d AS MATERIALIZED (SELECT * FROM """
    + ROWS.replace("AS d(", "WITH ORDINALITY AS d(").replace("finish)", "finish, n)")
    + """),
existing AS (
    SELECT d.n, m.seq, m.type, m.sender, m.data FROM d
    JOIN messages m ON m.conversation = d.conversation AND m.id_hash = d.id_hash
), fresh AS (
    SELECT d.*, row_number() OVER (PARTITION BY d.conversation ORDER BY n) AS rank FROM d
    WHERE NOT EXISTS (SELECT FROM existing e WHERE e.n = d.n)
), head AS (
    UPDATE conversations c SET last_seq = c.last_seq + h.count
    FROM (SELECT conversation, max(rank) AS count FROM fresh GROUP BY conversation ORDER BY conversation) h
    WHERE c.key = h.conversation RETURNING c.key, c.last_seq - h.count AS base
), added AS (
    INSERT INTO messages (conversation, seq, id_hash, created_at, message_id, type, sender, data,
        client_timestamp, finish)
    SELECT f.conversation, head.base + f.rank, f.id_hash, f.created_at, f.message_id, f.type, f.sender,
        f.data, f.client_timestamp, f.finish
    FROM fresh f JOIN head ON head.key = f.conversation
    RETURNING conversation, seq, id_hash
) SELECT d.n, added.seq FROM added JOIN d USING (conversation, id_hash)
UNION ALL SELECT n, -seq FROM existing"""
)
# By these the heads are locked in the order of the array: no other plan than a nested loop is left.
SESSION: Final = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off", "jit": "off"}
Commit = Callable[[list[Any]], Awaitable[Any]]


def heads_of(conversations: list[int]) -> list[list[int]]:
    counts: dict[int, int] = {}
    for key in sorted(conversations):
        counts[key] = counts.get(key, 0) + 1
    return [list(counts), list(counts.values())]


def values_of(conversations: list[int], is_lean: bool) -> list[Any]:
    """The arrays of one batch, as the store has to make them too."""
    size = len(conversations)
    counts: dict[int, int] = {}
    places = []
    for key in conversations:
        counts[key] = counts.get(key, 0) + 1
        places.append(counts[key])
    ids = [str(uuid.uuid4()) for _ in conversations]
    rows: list[list[Any]] = [
        conversations,
        places,
        [hash(id) for id in ids],
        [1_790_000_000_000] * size,
        ids,
        ["CHAT_MESSAGE"] * size,
        ["user-1"] * size,
        [TEXT] * size,
        [None] * size,
        [None] * size,
    ]
    return [*heads_of(conversations), *rows] if is_lean else rows


def numbered(statement: str) -> str:
    """With asyncpg's placeholders."""
    numbers = itertools.count(1)
    return "".join(
        f"${next(numbers)}" + part if index else part for index, part in enumerate(statement.split("{}"))
    )


async def asyncpg_commit(stack: AsyncExitStack, url: str, statement: str) -> Commit:
    connection = await asyncpg.connect(url, server_settings=SESSION)
    stack.push_async_callback(connection.close)
    prepared = await connection.prepare(numbered(statement))

    async def commit(values: list[Any]) -> Any:
        return await prepared.fetch(*values)

    return commit


async def psycopg_commit(stack: AsyncExitStack, url: str, statement: str) -> Commit:
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, options=" ".join(f"-c {key}={value}" for key, value in SESSION.items())
    )
    await stack.enter_async_context(connection)
    cursor = connection.cursor(binary=True)
    sql = statement.replace("{}", "%b")

    async def commit(values: list[Any]) -> Any:
        await cursor.execute(sql, values, prepare=True)
        return await cursor.fetchall()

    return commit


DRIVERS: Final = {"asyncpg": asyncpg_commit, "psycopg": psycopg_commit}
STATEMENTS: Final = {"lean": LEAN, "lookup": LOOKUP}


def cpu_of_tree(pid: int) -> float:
    """Seconds that the process and its children have used."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid or int(stat.parent.name) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


async def lane(commit: Commit, keys: list[int], size: int, is_lean: bool, end: float) -> list[float]:
    """Seconds of each commit."""
    taken = []
    following = itertools.cycle(keys)
    while time.perf_counter() < end:
        values = values_of(list(itertools.islice(following, size)), is_lean)
        started = time.perf_counter()
        await commit(values)
        taken.append(time.perf_counter() - started)
    return taken


async def measure(
    server: PostgresServer, driver: str, statement: str, lanes: int, size: int, seconds: float
) -> str:
    database = server.create_database()
    for part in SCHEMA.split(";"):
        server.sql(part, database)
    async with AsyncExitStack() as stack:
        commits = [
            await DRIVERS[driver](stack, server.url(database), STATEMENTS[statement]) for _ in range(lanes)
        ]
        keys = [list(range(number, CONVERSATIONS, lanes)) for number in range(lanes)]
        is_lean = statement == "lean"
        warm = time.perf_counter() + 0.3
        await asyncio.gather(*(lane(*each, size, is_lean, warm) for each in zip(commits, keys, strict=True)))
        own, theirs, began = time.process_time(), cpu_of_tree(server.process.pid), time.perf_counter()
        taken = await asyncio.gather(
            *(lane(*each, size, is_lean, began + seconds) for each in zip(commits, keys, strict=True))
        )
        elapsed = time.perf_counter() - began
        all_taken = sorted(itertools.chain.from_iterable(taken))
        messages = len(all_taken) * size
        own, theirs = time.process_time() - own, cpu_of_tree(server.process.pid) - theirs
    server.drop_database(database)
    return (
        f"{driver:8} {statement:7} {lanes:5} {size:5} {messages / elapsed:9.0f} "
        f"{all_taken[len(all_taken) // 2] * 1e3:8.2f} {all_taken[len(all_taken) * 99 // 100] * 1e3:8.2f} "
        f"{own / messages * 1e6:8.1f} {theirs / messages * 1e6:8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drivers", default=",".join(DRIVERS))
    parser.add_argument("--statements", default=",".join(STATEMENTS))
    parser.add_argument("--lanes", default="1,4,8")
    parser.add_argument("--batches", default="1,10,100")
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    programs = find_programs()
    assert programs is not None, "no PostgreSQL"
    print("driver   stmt    lanes batch   msgs/s   p50 ms   p99 ms  here us   PG us")
    with (
        postgres_server(programs, {}) as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        for statement, driver, lanes, size in itertools.product(
            chosen.statements.split(","),
            chosen.drivers.split(","),
            map(int, chosen.lanes.split(",")),
            map(int, chosen.batches.split(",")),
        ):
            print(runner.run(measure(server, driver, statement, lanes, size, chosen.seconds)), flush=True)


if __name__ == "__main__":
    main()
