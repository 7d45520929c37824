import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from loadtest.bench.cases import CONVERSATIONS
from loadtest.fill import fill, measure
from server.store.sqlite import SqliteStore
from tests.support.asynchronous import asynchronous
from tests.support.store import draft, opened, save, told, whole_history


def test_a_filled_database_is_one_of_the_servers_own(tmp_path: Path) -> None:
    filled, empty = tmp_path / "filled.db", tmp_path / "empty.db"
    fill(filled, messages=95, conversations=10)
    fill(empty, messages=0, conversations=1)

    @asynchronous
    async def check() -> None:
        async with opened(SqliteStore(filled)) as store:
            conversation = await store.find_conversation("conv-bench-9")
            last = await store.find_conversation("conv-bench-1")
            assert conversation is not None and last is not None
            assert (conversation.user_id, conversation.last_seq, last.last_seq) == ("user-bench-9", 10, 9)
            assert [m.seq for m in await whole_history(store, conversation.key)] == list(range(1, 11))
            old = (await whole_history(store, conversation.key))[0]
            assert await store.find_message(conversation.key, old.message_id) == old
            assert await save(store, draft(conversation.key, "m1")) == told(11)

    check()
    assert _schema(filled) == _schema(empty)


def test_the_server_is_measured_on_an_empty_database_and_on_the_history(tmp_path: Path) -> None:
    path = tmp_path / "filled.db"
    command = [sys.executable, "-m", "loadtest.fill", str(path), "--messages", "1000"]
    subprocess.run(command, check=True, timeout=60)
    speed = measure(path, rounds=1, seconds=0.2)
    assert speed.empty[0] > 0 and speed.filled[0] > 0
    with closing(sqlite3.connect(path)) as db:
        written = "SELECT count(DISTINCT conversation) FROM messages WHERE id > 1000"
        assert db.execute(written).fetchone() == (CONVERSATIONS,)  # it was the history that went on
        assert db.execute("SELECT count(*) FROM conversations").fetchone() == (10_000,)


def test_an_existing_file_is_not_filled_again(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    path.touch()
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.fill", str(path), "--messages", "10"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert path.stat().st_size == 0


def _schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
