import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from server.store.postgres import schema
from server.store.sqlite_schema import MIGRATIONS
from tests.chatctl.conftest import Run
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer

NEWEST = len(MIGRATIONS)


def test_a_missing_file_is_told_with_what_creates_it(chatctl: Run, empty_folder: Path) -> None:
    code, out, err = chatctl("db", "status")
    assert (code, out) == (1, "")
    assert err.startswith("chatctl: chat.db does not exist;")
    assert not (empty_folder / "chat.db").exists()


def test_upgrade_creates_the_schema_and_status_tells_it(chatctl: Run, empty_folder: Path) -> None:
    assert chatctl("db", "upgrade") == (0, f"schema version {NEWEST}, up to date\n", "")
    assert chatctl("db", "status").out == f"chat.db: schema version {NEWEST}, up to date\n"
    assert json.loads(chatctl("db", "status", "--json").out) == {
        "file": "chat.db",
        "version": NEWEST,
        "newest": NEWEST,
    }


def test_an_older_schema_is_told_and_upgraded(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "old.db").touch()
    options = ["--store", "sqlite:///old.db"]
    assert "schema version 0" in chatctl("db", "status", *options).out
    assert "run chatctl db upgrade" in chatctl("db", "status", *options).out
    assert chatctl("db", "upgrade", *options).code == 0
    assert "up to date" in chatctl("db", "status", *options).out


def test_a_newer_schema_is_not_touched(chatctl: Run, empty_folder: Path) -> None:
    chatctl("db", "upgrade")
    with sqlite3.connect("chat.db") as database:
        database.execute("INSERT INTO schema_versions VALUES (99, '')")
    database.close()
    assert "it is too old" in chatctl("db", "status").out
    code, out, err = chatctl("db", "upgrade")
    assert (code, out) == (1, "")
    assert "version 99" in err


def test_a_file_in_use_is_read_but_not_upgraded(
    chatctl: Run, empty_folder: Path, server: RunningServer
) -> None:
    options = ["--store", f"sqlite:///{server.folder}/chat.db"]
    assert chatctl("db", "status", *options).code == 0
    code, _, err = chatctl("db", "upgrade", *options)
    assert code == 2
    assert f"process {server.process.pid}" in err


def test_no_database_at_all_is_one_line(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "text.db").write_text("This is no database. " * 100)
    assert chatctl("db", "status", "--store", "sqlite:///text.db") == (
        1,
        "",
        "chatctl: text.db: file is not a database\n",
    )
    assert chatctl("db", "upgrade", "--store", "sqlite:///missing/chat.db").code == 1


def test_a_backup_of_a_running_server_has_all_that_was_acked(
    chatctl: Run, empty_folder: Path, server: RunningServer
) -> None:
    for number in range(3):
        new = {"conversation_id": f"c{number}", "user_id": "kai", "ai": {"id": "ai", "name": "AI"}}
        assert server.post("/api/matches", new).status_code == 201
    options = ["--store", f"sqlite:///{server.folder}/chat.db"]
    done = chatctl("db", "backup", "copy.db", *options)
    assert done == (0, f"{server.folder}/chat.db is backed up to copy.db\n", "")
    with closing(sqlite3.connect("copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM conversations").fetchone() == (3,)
    assert Path("copy.db").stat().st_mode & 0o077 == 0
    before = Path("copy.db").read_bytes()
    again = chatctl("db", "backup", "copy.db", *options)
    assert again == (1, "", "chatctl: copy.db exists already: nothing was written\n")
    assert Path("copy.db").read_bytes() == before


def test_a_backup_that_cannot_be_made_leaves_nothing(chatctl: Run, empty_folder: Path) -> None:
    assert chatctl("db", "backup", "copy.db").code == 1
    Path("text.db").write_text("This is no database. " * 100)
    code, _, err = chatctl("db", "backup", "copy.db", "--store", "sqlite:///text.db")
    assert (code, err) == (1, "chatctl: text.db to copy.db: file is not a database\n")
    assert not Path("copy.db").exists()


def test_for_postgresql_the_command_of_a_backup_is_told(chatctl: Run) -> None:
    code, out, err = chatctl("db", "backup", "a copy", "--store", "postgresql://kai:hush@h/chat")
    assert (code, out) == (1, "")
    assert "pg_dump --format=custom --file='a copy' 'postgresql://********@h/chat'" in err


@pytest.mark.parametrize("command", ["status", "upgrade"])
def test_what_has_no_schema_is_told(chatctl: Run, empty_folder: Path, command: str) -> None:
    answer = chatctl("db", command, "--store", "memory://")
    assert answer == (1, "", 'chatctl: store.url = "memory://": it keeps nothing and has no schema\n')


def test_postgresql_is_upgraded_while_nothing_or_an_older_schema_is_there(
    chatctl: Run, postgres: PostgresServer, postgres_database: str
) -> None:
    url = postgres.url(postgres_database)
    options = ["--store", url.replace("postgres@", "postgres:hush@")]
    shown = url.replace("postgres@", "********@")
    newest = len(schema.MIGRATIONS)
    waits = f"{shown}: schema version 0, this program has {newest}: run chatctl db upgrade\n"
    assert chatctl("db", "status", *options) == (0, waits, "")
    assert chatctl("db", "upgrade", *options) == (0, f"schema version {newest}, up to date\n", "")
    assert json.loads(chatctl("db", "status", *options, "--json").out) == {
        "database": shown,
        "version": newest,
        "newest": newest,
    }


def test_a_newer_schema_of_postgresql_is_not_touched(
    chatctl: Run, postgres: PostgresServer, postgres_database: str
) -> None:
    options = ["--store", postgres.url(postgres_database)]
    chatctl("db", "upgrade", *options)
    postgres.sql("INSERT INTO schema_versions VALUES (99, now())", postgres_database)
    assert "it is too old" in chatctl("db", "status", *options).out
    code, out, err = chatctl("db", "upgrade", *options)
    assert (code, out) == (1, "")
    assert "version 99" in err


def test_a_postgresql_that_is_not_there_is_one_line_without_its_password(chatctl: Run) -> None:
    code, out, err = chatctl("db", "status", "--store", "postgresql://kai:hush@127.0.0.1:1/chat")
    assert (code, out) == (1, "")
    assert err.startswith('chatctl: store.url = "postgresql://********@127.0.0.1:1/chat": ')
    assert err.count("\n") == 1 and "hush" not in err
