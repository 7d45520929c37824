"""chatctl doctor"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chatctl.diagnosis import examine
from chatctl.failure import FAILED, CommandError
from chatctl.findings import Finding
from chatctl.options import Config, Json, command_app, examples
from chatctl.output import print_json, print_lines
from chatctl.settings import settings_of

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}

app = command_app()


@app.command(
    epilog=examples(
        "chatctl doctor", "chatctl doctor --deep", "chatctl doctor --config /etc/chat.toml --json"
    )
)
def command(
    config: Config = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a public address without JWT and API keys.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read the whole database for damage.")] = False,
    as_json: Json = False,
) -> None:
    """Look for what will keep a server from working.

    Checks config, port, database, disk, backplane, file limits and clock, and says what to do. With --deep it
    also reads the whole database, which takes a second for some 500,000 messages; a server may be using it.
    Exit code 1 when something will not work, 0 with mere warnings.
    """
    findings = list(_findings(config, insecure, deep))
    healthy = all(finding.verdict != "fail" for finding in findings)
    if as_json:
        print_json({"ok": healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print_lines(*_lines(finding))
    if not healthy:
        raise typer.Exit(FAILED)


def _findings(config: Path | None, insecure: bool, is_deep: bool) -> Iterator[Finding]:
    try:
        settings = settings_of(config, insecure=insecure)
    except CommandError as error:
        yield from (
            Finding("config", "fail", line, "correct it; the rest is not checked") for line in error.lines
        )
        return
    yield from examine(settings, is_deep)


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{MARKS[finding.verdict]}  {finding.subject:<9}  {finding.text}"
    if finding.remedy:
        yield f"{'':15}  -> {finding.remedy}"
