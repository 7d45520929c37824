"""The PostgreSQL schema and its migrations: each version once, in order, recorded in `schema_versions`."""

from typing import Any, Final

from server.store.schema_faults import SchemaTooNew, SchemaTooOld

# Every key begins with the conversation, so that the tables can be spread by it.
MIGRATIONS: Final = (
    # Each commit updates the heads of its conversations in place: half of each page is left for that.
    """
    CREATE TABLE conversations (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL UNIQUE,
        user_id text NOT NULL,
        ai text NOT NULL,             -- JSON
        epoch text NOT NULL,          -- see the table origin
        created_at bigint NOT NULL,   -- milliseconds since the epoch, here and below
        last_seq bigint NOT NULL DEFAULT 0,
        ai_count integer NOT NULL DEFAULT 0   -- AI messages up to there
    ) WITH (fillfactor = 50);
    CREATE INDEX conversations_of_user ON conversations (user_id);
    CREATE TABLE messages (
        conversation bigint NOT NULL,
        seq bigint NOT NULL,
        id_hash bigint NOT NULL,
        created_at bigint NOT NULL,
        ai_count integer NOT NULL,
        message_id text NOT NULL,
        type text NOT NULL,
        sender text NOT NULL,
        data text NOT NULL,
        client_timestamp text,
        finish text,
        PRIMARY KEY (conversation, seq)
    );
    CREATE UNIQUE INDEX messages_by_id ON messages (conversation, id_hash);
    CREATE TABLE positions (
        conversation bigint NOT NULL,
        position text NOT NULL,
        seq bigint NOT NULL,
        PRIMARY KEY (conversation, position)
    ) WITH (fillfactor = 50);
    CREATE TABLE turns (
        conversation bigint PRIMARY KEY,
        first_seq bigint NOT NULL,
        since bigint NOT NULL,
        last_seq bigint,
        attempts integer NOT NULL DEFAULT 0,
        next_at bigint NOT NULL DEFAULT 0,
        last_error text NOT NULL DEFAULT ''
    ) WITH (fillfactor = 50);
    CREATE TABLE dead_letters (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation bigint NOT NULL,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        attempts integer NOT NULL,
        last_error text NOT NULL,
        failed_at bigint NOT NULL,
        is_due boolean NOT NULL DEFAULT false   -- to be sent again
    );
    CREATE INDEX dead_letters_of_conversation ON dead_letters (conversation);
    CREATE INDEX dead_letters_due ON dead_letters (id) WHERE is_due;
    CREATE TABLE pauses (
        conversation bigint PRIMARY KEY,   -- 0: all
        since bigint NOT NULL,
        reason text NOT NULL
    );
    CREATE TABLE undelivered (
        conversation bigint NOT NULL,
        seq bigint NOT NULL,
        PRIMARY KEY (conversation, seq)
    );
    CREATE TABLE origin (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        identity text NOT NULL DEFAULT '',   -- of the server and the database that the rows were written to
        epochs text NOT NULL DEFAULT ''      -- ends each conversation's epoch; anew when another took over
    );
    INSERT INTO origin DEFAULT VALUES;
    """,
    # Turns that count as answered, and whose answer the service gives later.
    """
    CREATE TABLE taken (
        conversation bigint NOT NULL,
        seq bigint NOT NULL,     -- the turn's last
        until bigint NOT NULL,   -- it can be cancelled
        PRIMARY KEY (conversation, seq)
    );
    """,
)
NEWEST: Final = len(MIGRATIONS)

_LOCK: Final = 0x63686174  # "chat": which advisory lock of this database is for migrations
_IS_THERE: Final = "SELECT to_regclass('schema_versions') IS NOT NULL"


def check(version: int) -> None:
    """Raises SchemaTooOld, SchemaTooNew."""
    text = f"its schema has version {version}, this program knows {NEWEST}"
    if version > NEWEST:
        raise SchemaTooNew(text)
    if version < NEWEST:
        raise SchemaTooOld(f"{text}: run chatctl db upgrade")


async def version_of(connection: Any) -> int:
    """Reads the newest version recorded in the database; 0 for an empty one."""
    if not await connection.fetchval(_IS_THERE):
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_versions"))


async def set_up(connection: Any) -> int:
    """Sets up an empty database, unless another node does so now or did; the version that it has then."""
    version = await version_of(connection)
    return version or await upgrade(connection, only_if_empty=True)


async def upgrade(connection: Any, only_if_empty: bool = False) -> int:
    """Brings the database to the newest version, one transaction a version; the version that it has then.

    One process at a time does this; others wait for it here.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        version = await version_of(connection)
        if not (only_if_empty and version):
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                await _migrate(connection, number, script)
        return await version_of(connection)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _migrate(connection: Any, number: int, script: str) -> None:
    async with connection.transaction():
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_versions (version integer PRIMARY KEY, applied_at timestamptz)"
        )
        await connection.execute(script)
        await connection.execute("INSERT INTO schema_versions VALUES ($1, now())", number)
