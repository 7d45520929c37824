"""The SQLite schema and its migrations: each version once, in order, recorded in `schema_versions`."""

from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from server.store.hashes import hash_of
from server.store.schema_faults import SchemaTooNew

# Every index costs the pages that it dirties. Both of a message's indexes start with the conversation's
# integer, so that what is written together lies together; an index over random message ids alone
# would double the cost of a row.
MIGRATIONS: Final = (
    """
    CREATE TABLE conversations (
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        ai TEXT NOT NULL,             -- JSON
        epoch TEXT NOT NULL,
        created_at INTEGER NOT NULL   -- milliseconds since the epoch, here and below
    );
    CREATE INDEX conversations_of_user ON conversations (user_id);
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        type TEXT NOT NULL,
        sender TEXT NOT NULL,
        data TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        client_timestamp TEXT,
        finish TEXT
    );
    CREATE UNIQUE INDEX messages_by_id ON messages (conversation, message_id);
    CREATE UNIQUE INDEX messages_by_seq ON messages (conversation, seq);
    """,
    # AUTOINCREMENT: a deleted conversation's key must not come back, since a message for the old one may
    # still be on its way.
    """
    CREATE TABLE conversations_2 (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        ai TEXT NOT NULL,
        epoch TEXT NOT NULL,
        created_at INTEGER NOT NULL
    );
    INSERT INTO conversations_2 SELECT key, id, user_id, ai, epoch, created_at FROM conversations;
    DROP TABLE conversations;
    ALTER TABLE conversations_2 RENAME TO conversations;
    CREATE INDEX conversations_of_user ON conversations (user_id);
    CREATE TABLE positions (
        conversation INTEGER NOT NULL,
        position TEXT NOT NULL,       -- user_read, ai_read, answered
        seq INTEGER NOT NULL,
        PRIMARY KEY (conversation, position)
    ) WITHOUT ROWID;
    """,
    # A hash in place of the text: a third of the pages, which every checkpoint writes one by one.
    """
    ALTER TABLE messages ADD COLUMN id_hash INTEGER NOT NULL DEFAULT 0;
    UPDATE messages SET id_hash = hash_of(message_id);
    DROP INDEX messages_by_id;
    CREATE UNIQUE INDEX messages_by_id ON messages (conversation, id_hash);
    """,
    # What is owed, and two columns by which nothing has to be counted or to be the highest of what is left:
    # docs/store.md, "Tables". A conversation that a responder had answered owes what came since.
    """
    ALTER TABLE conversations ADD COLUMN last_seq INTEGER NOT NULL DEFAULT 0;  -- of what was removed
    ALTER TABLE messages ADD COLUMN ai_count INTEGER NOT NULL DEFAULT 0;
    UPDATE messages SET ai_count = counted.ai_count FROM (
        SELECT id, sum(type = 'AI_RESPONSE') OVER (PARTITION BY conversation ORDER BY seq) AS ai_count
        FROM messages
    ) AS counted WHERE counted.id = messages.id AND counted.ai_count > 0;
    CREATE TABLE turns (
        conversation INTEGER PRIMARY KEY,
        first_seq INTEGER NOT NULL,
        since INTEGER NOT NULL,
        last_seq INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER NOT NULL DEFAULT 0,
        last_error TEXT NOT NULL DEFAULT ''
    );
    INSERT INTO turns (conversation, first_seq, since)
    SELECT m.conversation, m.seq, m.created_at FROM positions p JOIN messages m
        ON m.conversation = p.conversation AND m.seq = (
            SELECT seq FROM messages WHERE conversation = p.conversation AND seq > p.seq
                AND type = 'CHAT_MESSAGE' ORDER BY seq LIMIT 1)
    WHERE p.position = 'answered';
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        last_error TEXT NOT NULL,
        failed_at INTEGER NOT NULL,
        is_due INTEGER NOT NULL DEFAULT 0   -- to be sent again
    );
    CREATE INDEX dead_letters_of_conversation ON dead_letters (conversation);
    CREATE INDEX dead_letters_due ON dead_letters (id) WHERE is_due = 1;
    CREATE TABLE pauses (
        conversation INTEGER PRIMARY KEY,   -- 0: all
        since INTEGER NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE TABLE undelivered (
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (conversation, seq)
    ) WITHOUT ROWID;
    """,
    # What tells this log from a restored one, and conversations whose messages are still to be removed.
    """
    CREATE TABLE log (
        token TEXT NOT NULL,          -- of the last start
        newest INTEGER NOT NULL       -- the highest id of a message that was removed
    );
    INSERT INTO log (token, newest) VALUES ('', 0);
    CREATE TABLE deleted (conversation INTEGER PRIMARY KEY);
    """,
    # Turns that count as answered, and whose answer the service gives later.
    """
    CREATE TABLE taken (
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,         -- the turn's last
        until INTEGER NOT NULL,       -- it can be cancelled
        PRIMARY KEY (conversation, seq)
    ) WITHOUT ROWID;
    """,
)
_READ_MS: Final = 5000  # for another process to let us read


def version_of(db: apsw.Connection) -> int:
    """The newest version recorded in the file; 0 for a new one."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_versions'").fetchone():
        return 0
    return int(db.execute("SELECT coalesce(max(version), 0) FROM schema_versions").get)


def read_version(path: Path) -> int:
    """The version of a file that may be another process's. Raises apsw.Error."""
    with closing(apsw.Connection(str(path.absolute()), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_busy_timeout(_READ_MS)
        return version_of(db)


def upgrade(db: apsw.Connection) -> None:
    """Brings the file to the newest version, one transaction a version. Raises SchemaTooNew."""
    db.execute("CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, applied_at TEXT)")
    db.create_scalar_function("hash_of", hash_of, 1, deterministic=True)  # type: ignore[arg-type]  # of texts
    current = version_of(db)
    if current > len(MIGRATIONS):
        raise SchemaTooNew(f"its schema has version {current}, this program knows {len(MIGRATIONS)}")
    for version, script in enumerate(MIGRATIONS[current:], current + 1):
        db.execute(
            f"BEGIN IMMEDIATE; {script}"
            f"INSERT INTO schema_versions VALUES ({version}, datetime('now')); COMMIT"
        )
