"""Command lines that stand in a text: whether chatctl understands them, without doing what they say."""

import re
import shlex
from importlib import import_module
from typing import Any

import typer


def chatctl_lines(text: str) -> list[list[str]]:
    """What the shell gives `chatctl` in each line that calls it."""
    found = []
    for line in text.splitlines():
        if re.match(r"\s*(\S.* \| )?([A-Z_]+=\S+ )*(\.venv/bin/)?chatctl ", line):
            words = shlex.split(re.sub(r"\$\([^)]*\)", "substituted", line), comments=True)
            start = next(index for index, word in enumerate(words) if word.endswith("chatctl")) + 1
            ends = [index for index, word in enumerate(words) if index > start and word in ("|", ">", "&")]
            found.append(words[start : ends[0] if ends else None])
    return found


def parse(words: list[str]) -> None:
    """Raises typer.TyperException where chatctl would exit with 2."""
    module = import_module(f"chatctl.commands.{words[0].replace('-', '_')}")
    command: Any = typer.main.get_command(module.app)
    path, *rest = words
    while hasattr(command, "commands") and (rest or not command.invoke_without_command):
        path, *rest = rest
        command = command.commands[path]
    command.make_context(path, rest)
