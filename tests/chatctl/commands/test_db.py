import json
import sqlite3
from pathlib import Path

import pytest

from server.store.sqlite_schema import MIGRATIONS
from tests.chatctl.conftest import Run
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


@pytest.mark.parametrize("command", ["status", "upgrade"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://", "it keeps nothing and has no schema"),
        ("postgresql://host/db", "PostgreSQL is not built yet"),
    ],
)
def test_what_has_no_schema_is_told(
    chatctl: Run, empty_folder: Path, command: str, url: str, why: str
) -> None:
    assert chatctl("db", command, "--store", url) == (1, "", f'chatctl: store.url = "{url}": {why}\n')
