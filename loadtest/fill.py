"""Fills a new SQLite database with a long history, and measures what that costs the saving of messages.

    python -m loadtest.fill filled.db --messages 5000000
    python -m loadtest.fill filled.db --measure

Measured is the store alone, in which the history is; nothing else of the server knows of it.
"""

import argparse
import asyncio
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from server.core.model import Draft, NewConversation
from server.ports import Batch
from server.protocol import MessageType
from server.store.sqlite import SqliteStore

LEAST_RATIO: Final = 0.85  # of an empty database's speed, with 5 million messages
ROUNDS: Final = 5
ROUND_MESSAGES: Final = 20_000
BATCH: Final = 100  # messages to a commit: what the server makes of them under load
ACTIVE: Final = 100  # conversations in which somebody writes
_START_MS: Final = 1_700_000_000_000
_TEXT: Final = "The quick brown fox jumps over the lazy dog, and then it does it all over again. " * 2

_COUNT: Final = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
_FILL_CONVERSATIONS: Final = f"""{_COUNT}
INSERT INTO conversations (key, id, user_id, ai, epoch, created_at)
SELECT i + 1, 'filled_' || i || '_ai_alex', 'user' || i, '{{"id": "ai_alex", "name": "Alex"}}',
       lower(hex(randomblob(6))), {_START_MS} FROM n"""
_FILL_MESSAGES: Final = f"""{_COUNT}
INSERT INTO messages (conversation, seq, message_id, type, sender, data, created_at)
SELECT i % :conversations + 1, i / :conversations + 1, lower(hex(randomblob(16))), 'CHAT_MESSAGE',
       'user' || i % :conversations, substr('{_TEXT}', 1, 10 + i % 150), {_START_MS} + i FROM n"""


_INDEXES: Final = """
SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages' AND sql NOT NULL"""


class Speed(NamedTuple):
    """Messages a second, round by round, in an empty database and in the filled one."""

    empty: list[float]
    filled: list[float]

    @property
    def ratio(self) -> float:
        return median(self.filled) / median(self.empty)


def fill(path: Path, messages: int, conversations: int) -> None:
    """Creates the database; its conversations take turns, so that their messages lie scattered."""
    asyncio.run(_create(path))
    with closing(sqlite3.connect(path)) as db:
        # Nothing is lost with it if the machine fails now; and sorting an index is faster than growing it.
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        indexes = db.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.execute(_FILL_CONVERSATIONS, {"count": conversations})
        db.execute(_FILL_MESSAGES, {"count": messages, "conversations": conversations})
        for _, sql in indexes:
            db.execute(sql)
        db.commit()


async def measure(filled: Path, rounds: int = ROUNDS, messages: int = ROUND_MESSAGES) -> Speed:
    """Turn by turn, so that what else the machine does meets both alike."""
    speed = Speed([], [])
    keys = _active_keys(filled)
    with tempfile.TemporaryDirectory(dir=filled.parent) as folder:
        for number in range(rounds):
            empty = Path(folder) / f"empty{number}.db"
            speed.empty.append(await _messages_per_second(empty, await _create(empty, len(keys)), messages))
            speed.filled.append(await _messages_per_second(filled, keys, messages))
    return speed


async def _create(path: Path, conversations: int = 0) -> list[int]:
    """A database as the server creates it, with so many conversations; their keys."""
    new = [
        NewConversation(f"c{n}", "kai", {"id": "ai", "name": "AI"}, "e", 0, 0) for n in range(conversations)
    ]
    store = SqliteStore(path)
    await store.open()
    try:
        return [created.key for created in await store.create_conversations(Batch(new))] if new else []
    finally:
        await store.close()


def _active_keys(path: Path) -> list[int]:
    """Of conversations from all over the database."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        keys = [row[0] for row in db.execute("SELECT key FROM conversations ORDER BY key")]
    return keys[:: max(1, len(keys) // ACTIVE)][:ACTIVE]


async def _messages_per_second(path: Path, keys: list[int], messages: int) -> float:
    store = SqliteStore(path)
    await store.open()
    try:
        batches = [_drafts(keys, range(at, min(at + BATCH, messages))) for at in range(0, messages, BATCH)]
        started = time.perf_counter()
        for drafts in batches:
            await store.save(Batch(drafts))
        return messages / (time.perf_counter() - started)
    finally:
        await store.close()


def _drafts(keys: list[int], numbers: Iterable[int]) -> list[Draft]:
    now_ms = time.time_ns() // 1_000_000
    return [
        Draft(keys[n % len(keys)], secrets.token_hex(16), MessageType.CHAT_MESSAGE, "kai", _TEXT, now_ms, 0)
        for n in numbers
    ]


def _print_speed(speed: Speed) -> None:
    for name, rates in (("empty", speed.empty), ("filled", speed.filled)):
        low, middle, high = min(rates), median(rates), max(rates)
        print(f"{name:<8}{middle:>10,.0f} messages/s, median of {len(rates)} ({low:,.0f} to {high:,.0f})")
    print(f"ratio   {speed.ratio:>10.2f} (at least {LEAST_RATIO} is wanted)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.fill", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="the SQLite file")
    parser.add_argument("--messages", type=int, help="create the file and fill it with so many")
    parser.add_argument("--conversations", type=int, default=10_000, help="that these belong to (10000)")
    parser.add_argument("--measure", action="store_true", help="compare its speed with an empty database's")
    options = parser.parse_args()
    if options.messages is not None:
        if options.file.exists():
            parser.error(f"{options.file} exists already")
        fill(options.file, options.messages, options.conversations)
    if not options.file.exists():
        parser.error(f"{options.file} does not exist: --messages creates it")
    if options.measure:
        speed = asyncio.run(measure(options.file))
        _print_speed(speed)
        return 0 if speed.ratio >= LEAST_RATIO else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
