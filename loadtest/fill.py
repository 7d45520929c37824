"""Fills a new SQLite database with a long history, and measures what that costs the server.

    python -m loadtest.fill filled.db --messages 5000000
    python -m loadtest.fill filled.db --measure

Measured is case D3 of the benchmark, in conversations from all over the history.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import apsw

from loadtest.bench.cases import run_case
from loadtest.bench.room import conversation_id, user_id
from server.store.hashes import hash_of
from server.store.sqlite import SqliteStore

LEAST_RATIO: Final = 0.85  # of an empty database's speed, with 5 million messages
ROUNDS: Final = 5
CASE: Final = "D3"
SECONDS: Final = 4.0  # of each round, after a second to warm up
_STRIDE: Final = 7919  # a prime, so that neighbours in the benchmark are none in the database
_START_MS: Final = 1_700_000_000_000
_TEXT: Final = "The quick brown fox jumps over the lazy dog, and then it does it all over again. " * 2

_COUNT: Final = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
_FILL_CONVERSATIONS: Final = f"""{_COUNT}
INSERT INTO conversations (key, id, user_id, ai, epoch, created_at)
SELECT i * {_STRIDE} % :count + 1, conversation_id(i), user_id(i), '{{"id": "ai_alex", "name": "Alex"}}',
       lower(hex(randomblob(6))), {_START_MS} FROM n"""
_FILL_MESSAGES: Final = f"""{_COUNT}
INSERT INTO messages (conversation, seq, message_id, type, sender, data, created_at)
SELECT i % :conversations + 1, i / :conversations + 1, lower(hex(randomblob(16))), 'CHAT_MESSAGE',
       'user' || i % :conversations, substr('{_TEXT}', 1, 10 + i % 150), {_START_MS} + i FROM n"""
_HASH_IDS: Final = "UPDATE messages SET id_hash = hash_of(message_id)"
# Of what the statements call.
_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (conversation_id, user_id, hash_of)
_INDEXES: Final = """
SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages' AND sql NOT NULL"""


class Speed(NamedTuple):
    """Messages a second, round by round, with an empty database and with the filled one."""

    empty: list[float]
    filled: list[float]

    @property
    def ratio(self) -> float:
        return median(self.filled) / median(self.empty)


def fill(path: Path, messages: int, conversations: int) -> None:
    """Creates the database; its conversations take turns, so that their messages lie scattered."""
    asyncio.run(_create(path))
    with closing(apsw.Connection(str(path))) as db:
        for function in _FUNCTIONS:
            db.create_scalar_function(function.__name__, function, 1, deterministic=True)
        # Nothing is lost with it if the machine fails now; and sorting an index is faster than growing it.
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
            db.execute(f"PRAGMA {setting}")
        indexes = db.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.execute(_FILL_CONVERSATIONS, {"count": conversations})
        db.execute(_FILL_MESSAGES, {"count": messages, "conversations": conversations})
        db.execute(_HASH_IDS)
        for _, sql in indexes:
            db.execute(str(sql))


def measure(filled: Path, rounds: int = ROUNDS, seconds: float = SECONDS) -> Speed:
    """Turn by turn, so that what else the machine does meets both alike.

    Raises:
        ServerFailed, TimeoutError: See `run_case`.
    """
    speed = Speed([], [])
    for _ in range(rounds):
        speed.empty.append(_messages_per_second(seconds, {}))
        speed.filled.append(
            _messages_per_second(seconds, {"CHAT_STORE__URL": f"sqlite:///{filled.absolute()}"})
        )
    return speed


def _messages_per_second(seconds: float, settings: dict[str, str]) -> float:
    outcome = run_case(CASE, seconds, settings)
    if outcome.faults:
        raise SystemExit(f"the server did not do the job: {dict(outcome.faults)}")
    return outcome.figures["msgs_s"] or 0.0


async def _create(path: Path) -> None:
    """A database as the server creates it."""
    store = SqliteStore(path)
    await store.open()
    await store.close()


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
        speed = measure(options.file)
        _print_speed(speed)
        return 0 if speed.ratio >= LEAST_RATIO else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
