import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import typer

from chatctl.cli import COMMANDS
from tests.chatctl.conftest import Run


def test_help_lists_every_command(chatctl: Run) -> None:
    result = chatctl("--help")
    assert result.code == 0
    for name, summary in COMMANDS.items():
        assert f"  {name} " in result.out
        assert summary in result.out
    assert "Examples:\n    chatctl serve" in result.out


def leaves(name: str, command: Any) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    return [leaf for child, sub in children.items() for leaf in leaves(f"{name} {child}", sub)] or [
        (name, command)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_has_examples(name: str) -> None:
    module = import_module(f"chatctl.commands.{name.replace('-', '_')}")
    command = typer.main.get_command(module.app)
    assert (command.help or "").split("\n")[0] == COMMANDS[name]
    assert "Examples:" in (command.epilog or ""), name
    for path, leaf in leaves(name, command):
        assert f"chatctl {path}" in (leaf.epilog or ""), path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["gibberish"], "No such command: gibberish. (chatctl --help tells how)"),
        (["serv"], "No such command: serv. Did you mean serve? (chatctl --help tells how)"),
        (["config", "shw"], "No such command 'shw'. Did you mean 'show'? (chatctl config --help tells how)"),
        (["errors", "--nonsense"], "No such option: --nonsense (chatctl errors --help tells how)"),
        (
            ["typing", "c", "maybe"],
            "Invalid value for 'state': 'maybe' is not one of 'on', 'off'. (chatctl typing --help tells how)",
        ),
        (["trace", "..", "--conversation", "c"], ".. is no id: ids have letters, digits or . _ : @ -"),
        (["history", "."], ". is no id: ids have letters, digits or . _ : @ -"),
        (["export", ""], "an empty text is no id: ids have letters, digits or . _ : @ -"),
        (["errors", "a", "b"], "Got unexpected extra argument(s) (b) (chatctl errors --help tells how)"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(chatctl: Run, arguments: list[str], line: str) -> None:
    assert chatctl(*arguments) == (2, "", f"chatctl: {line}\n")


def test_an_unforeseen_fault_is_one_line_too(chatctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatctl.commands.errors.CLOSES", None)
    code, out, err = chatctl("errors")
    assert (code, out) == (1, "")
    assert err.startswith("chatctl: internal error: AttributeError")
    assert len(err.splitlines()) == 1


def test_a_reader_that_leaves_early_ends_the_command_quietly() -> None:
    script = f"{sys.executable} -m chatctl errors --json | head -1; exit ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_the_command_runs_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatctl", "errors", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "</dev/null >&- 2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", [["--help"], ["errors"], ["loadtest", "list"], ["stats", "--once"]])
def test_output_that_goes_nowhere_is_no_traceback(command: list[str], redirection: str) -> None:
    words = [sys.executable, "-m", "chatctl", *command]
    ran = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirection}', *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"CHATCTL_URL": "http://127.0.0.1:1"},
    )
    assert ran.returncode in (0, 1)
    assert len(ran.stderr.splitlines()) <= 1
    assert "Traceback" not in ran.stderr and "internal error" not in ran.stderr
