import json
from pathlib import Path

import pytest

from tests.chatctl.conftest import Run


def test_show_tells_every_value_and_where_it_came_from(
    chatctl: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_SERVER__PORT", "9000")
    entries = {entry["key"]: entry for entry in json.loads(chatctl("config", "show", "--json").out)}
    assert entries["server.port"]["value"] == 9000
    assert entries["server.port"]["origin"] == "environment variable CHAT_SERVER__PORT"
    assert entries["log.level"] == {"key": "log.level", "value": "info", "origin": "default"}
    assert "environment variable CHAT_SERVER__PORT" in chatctl("config", "show").out


def test_show_masks_secrets(chatctl: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_AUTH__JWT_SECRET", "hush-a")
    monkeypatch.setenv("CHAT_AUTH__API_KEYS", "hush-b")
    monkeypatch.setenv("CHAT_STORE__URL", "postgresql://chat:hush-c@host/db")
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        out = chatctl(*arguments).out
        assert "********" in out
        assert "hush" not in out


def test_check_tells_each_fault_on_a_line_and_exits_2(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text('[server]\nport = "x"\nprot = 1\n')
    assert chatctl("config", "check") == (
        2,
        "",
        'chatctl: server.port = "x" (config.toml): should be a valid integer\n'
        "chatctl: server.prot = 1 (config.toml): unknown key; did you mean server.port?\n",
    )


def test_check_accepts_what_is_right(chatctl: Run, empty_folder: Path) -> None:
    assert chatctl("config", "check") == (0, "The configuration is valid.\n", "")


def test_check_refuses_a_public_address_unless_insecure(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "c.toml").write_text('[server]\nhost = "0.0.0.0"\n')
    assert chatctl("config", "check", "--config", "c.toml").code == 2
    assert chatctl("config", "check", "--config", "c.toml", "--insecure").code == 0


def test_init_writes_a_file_that_only_its_owner_reads_and_that_is_valid(
    chatctl: Run, empty_folder: Path
) -> None:
    assert chatctl("config", "init").code == 0
    assert (empty_folder / "config.toml").stat().st_mode & 0o077 == 0
    assert chatctl("config", "check").code == 0


def test_init_never_writes_over_a_file_without_force(chatctl: Run, empty_folder: Path) -> None:
    file = empty_folder / "config.toml"
    file.write_text("# mine")
    assert chatctl("config", "init") == (1, "", "chatctl: config.toml exists; --force writes over it\n")
    assert file.read_text() == "# mine"
    assert chatctl("config", "init", "--force").code == 0
    assert "[server]" in file.read_text()


def test_init_says_why_it_cannot_write(chatctl: Run, empty_folder: Path) -> None:
    assert chatctl("config", "init", "missing/c.toml") == (
        1,
        "",
        "chatctl: cannot write missing/c.toml: No such file or directory\n",
    )
