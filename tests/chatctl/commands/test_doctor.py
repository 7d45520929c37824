import asyncio
import json
import re
import resource
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import redis

from server.store.sqlite import SqliteStore
from tests.chatctl.conftest import Run
from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer
from tests.support.store import create, draft, opened, save
from tests.support.valkey_server import ValkeyServer


@pytest.fixture(autouse=True)
def free_port(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_SERVER__PORT", "0")


def findings(chatctl: Run, subject: str, *arguments: str) -> list[dict[str, Any]]:
    report = json.loads(chatctl("doctor", "--json", *arguments).out)
    return [finding for finding in report["findings"] if finding["subject"] == subject]


def verdicts(chatctl: Run, subject: str) -> set[str]:
    return {finding["verdict"] for finding in findings(chatctl, subject)}


def test_a_healthy_place_has_no_failure(chatctl: Run) -> None:
    code, out, err = chatctl("doctor")
    assert (code, err) == (0, "")
    for subject in ("config", "port", "database", "disk", "backplane", "files", "clock"):
        assert f"  {subject} " in out
    assert "FAIL" not in out
    assert not Path("chat.db").exists()


def test_a_faulty_configuration_fails_with_each_fault(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("[server]\nprot = 1\n[stats]\nhistory = -1\n")
    code, out, _ = chatctl("doctor")
    assert code == 1
    assert out.count("FAIL  config") == 2


def test_a_port_that_another_program_has_fails(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0)
        monkeypatch.setenv("CHAT_SERVER__PORT", str(taken.getsockname()[1]))
        code, out, _ = chatctl("doctor")
    assert code == 1
    assert "Address already in use" in out


def test_a_server_that_runs_already_is_a_warning(
    chatctl: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_SERVER__PORT", str(server.port))
    monkeypatch.setenv("CHAT_STORE__URL", f"sqlite:///{server.folder}/chat.db")
    code, out, _ = chatctl("doctor")
    assert code == 0
    assert "answers on 127.0.0.1" in out
    assert f"in use by process {server.process.pid}" in out


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("sqlite:///missing/chat.db", "fail"),
        ("sqlite:///broken.db", "fail"),
        ("sqlite:///newer.db", "fail"),
        ("sqlite:///new.db", "ok"),
        ("memory://", "warn"),
        ("postgresql://user:hush@127.0.0.1:1/db", "fail"),
    ],
)
def test_a_database_that_cannot_be_used_fails(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, url: str, verdict: str
) -> None:
    Path("broken.db").write_text("This is no database. " * 100)
    with sqlite3.connect("newer.db") as newer:
        newer.executescript("CREATE TABLE schema_versions (version); INSERT INTO schema_versions VALUES (99)")
    newer.close()
    for file in Path().glob("*.db"):
        file.chmod(0o600)
    monkeypatch.setenv("CHAT_STORE__URL", url)
    assert verdicts(chatctl, "database") == {verdict}
    assert "hush" not in chatctl("doctor").out


def test_a_database_that_others_can_read_is_a_warning_with_the_cure(chatctl: Run) -> None:
    chatctl("db", "upgrade")
    assert verdicts(chatctl, "database") == {"ok"}
    Path("chat.db").chmod(0o644)
    assert "chmod 600 chat.db" in [finding["remedy"] for finding in findings(chatctl, "database")]


def test_postgresql_is_looked_at_with_what_loses_messages(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, postgres_database: str
) -> None:
    monkeypatch.setenv("CHAT_STORE__URL", postgres.url(postgres_database))
    before = {finding["text"]: finding for finding in findings(chatctl, "database")}
    assert any("empty: the first node sets it up" in text for text in before)
    assert any(re.fullmatch(r"a commit there takes \d+\.\d\d ms", text) for text in before)
    # The server of the tests runs without them, since its machine does not lose its power.
    warned = [text.split()[0] for text, finding in before.items() if finding["verdict"] == "warn"]
    assert warned == ["fsync", "full_page_writes"]
    postgres.sql(f"ALTER DATABASE {postgres_database} SET synchronous_commit = off")
    assert any(f["text"].startswith("synchronous_commit is off") for f in findings(chatctl, "database"))
    chatctl("db", "upgrade")
    assert "fail" not in verdicts(chatctl, "database")
    monkeypatch.setenv("CHAT_STORE__POOL", "1000")
    assert any("a node takes 1000" in f["text"] for f in findings(chatctl, "database"))
    postgres.sql("INSERT INTO schema_versions VALUES (99, now())", postgres_database)
    assert "fail" in verdicts(chatctl, "database")


def test_a_backplane_must_answer_and_speak(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("CHAT_BACKPLANE__URL", f"redis://:s3cret@127.0.0.1:{mute.getsockname()[1]}")
        [finding] = findings(chatctl, "backplane")
        assert finding["verdict"] == "fail"
        assert "s3cret" not in str(finding)
    assert verdicts(chatctl, "backplane") == {"fail"}
    monkeypatch.setenv("CHAT_BACKPLANE__URL", "redis+cluster://127.0.0.1")
    assert "not built yet" in findings(chatctl, "backplane")[0]["text"]


def test_a_backplane_is_measured_and_its_settings_are_judged(
    chatctl: Run, monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer
) -> None:
    monkeypatch.setenv("CHAT_BACKPLANE__URL", valkey.url())
    server, speed = findings(chatctl, "backplane")
    assert (server["verdict"], speed["verdict"]) == ("ok", "ok")
    assert server["text"].startswith(("Valkey ", "Redis "))
    assert re.fullmatch(r"a round trip takes [0-9.]+ ms", speed["text"])
    changed = {
        "maxmemory": 100 * 2**20,
        "maxmemory-policy": "volatile-lru",
        "client-output-buffer-limit": "pubsub 1mb 1mb 60",
    }
    with redis.Redis(port=valkey.port) as client:
        before = {name: client.config_get(name)[name] for name in changed}
        for name, value in changed.items():
            client.config_set(name, value)
        warned = [f["text"] for f in findings(chatctl, "backplane") if f["verdict"] == "warn"]
        client.replicaof("127.0.0.1", "1")
        as_replica = verdicts(chatctl, "backplane")
        client.replicaof("NO", "ONE")
        for name, value in before.items():
            client.config_set(name, value)
    assert [text.split()[0] for text in warned] == ["maxmemory-policy", "client-output-buffer-limit"]
    assert "fail" in as_replica


def test_too_few_open_files_are_a_warning(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setenv("CHAT_CONNECTIONS__MAX_TOTAL", str(hard))
    assert verdicts(chatctl, "files") == {"warn"}
    monkeypatch.setenv("CHAT_CONNECTIONS__MAX_TOTAL", "10")
    assert verdicts(chatctl, "files") == {"ok"}


def test_a_secret_that_can_be_guessed_is_a_warning(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_AUTH__JWT_SECRET", "short")
    assert verdicts(chatctl, "auth") == {"warn"}
    monkeypatch.setenv("CHAT_AUTH__JWT_SECRET", "x" * 32)
    assert verdicts(chatctl, "auth") == set()


def test_a_clock_that_was_never_set_fails(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatctl.diagnosis.YEAR_OF_BIRTH", 9999)
    assert verdicts(chatctl, "clock") == {"fail"}
    assert chatctl("doctor").code == 1


_PAGE = 4096  # bytes, SQLite's default


def _filled(path: Path) -> Path:
    async def fill() -> None:
        async with opened(SqliteStore(path)) as store:
            (a,) = await create(store, "a")
            await save(store, *(draft(a.key, f"m{n}", "x" * 1000) for n in range(300)))

    asyncio.run(fill())
    return path


def test_a_database_without_damage_is_read_to_its_end(chatctl: Run, empty_folder: Path) -> None:
    path = _filled(empty_folder / "chat.db")
    before = path.read_bytes()
    assert findings(chatctl, "damage") == []
    assert [finding["verdict"] for finding in findings(chatctl, "damage", "--deep")] == ["ok"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"\0" * 20_000, b"\xa5" * 20_000, b"\xa5" * 100])
def test_damage_in_the_middle_is_found_by_reading_all(
    chatctl: Run, empty_folder: Path, content: bytes
) -> None:
    path = _filled(empty_folder / "chat.db")
    with path.open("r+b") as file:
        # The head of a page: of bytes in the middle of a text SQLite cannot tell that they were others.
        file.seek(path.stat().st_size // 2 // _PAGE * _PAGE)
        file.write(content)
    assert verdicts(chatctl, "database") <= {"ok", "warn"}
    found = findings(chatctl, "damage", "--deep")
    assert {finding["verdict"] for finding in found} == {"fail"}
    assert "backup" in found[0]["remedy"]
    assert chatctl("doctor", "--deep")[0] == 1
