import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import running_server

_LOG = """
import logging, structlog
from server.logs import configure_logs
configure_logs({level!r}, {format!r})
log = structlog.get_logger()
secret = "the-token"
log.debug("quiet")
hostile = {{"reversed": "\\u202egnp", "nested": {{"a": ["\\x1b[2J"]}}}}
log.info("event", reason="red \\x1b[31m\\nforged line", name="plain", **hostile)
try:
    raise ValueError("went wrong")
except ValueError:
    log.exception("failed")
logging.getLogger("uvicorn").warning("from %s", "uvicorn")
"""


def _run(format: str, level: str = "info") -> str:
    code = _LOG.format(format=format, level=level)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return ran.stderr


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", ["json", "auto"])
def test_without_a_terminal_every_line_is_one_json_object(format: str) -> None:
    event, failed, foreign = _json_lines(_run(format))
    assert (event["event"], event["level"], event["name"]) == ("event", "info", "plain")
    assert event["timestamp"].endswith("Z")
    assert failed["exception"][0]["exc_value"] == "went wrong"
    assert (foreign["event"], foreign["level"]) == ("from uvicorn", "warning")


def test_the_level_decides_what_is_said() -> None:
    assert _json_lines(_run("json", "debug"))[0]["event"] == "quiet"
    assert [line["event"] for line in _json_lines(_run("json", "error"))] == ["failed"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_log_that_cannot_be_written_harms_nobody(format: str) -> None:
    code = _LOG.format(format=format, level="info") + "print('goes on')"
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=False)
    assert ran.stdout == b"goes on\n"


def test_on_the_console_what_others_wrote_cannot_forge_a_line_or_move_the_cursor() -> None:
    text = _run("console")
    assert "\x1b" not in text and "\u202e" not in text
    assert "red \\x1b[31m\\nforged line" in text or r"red \\x1b[31m\\nforged line" in text
    assert not any(line.startswith("forged line") for line in text.splitlines())
    assert "ValueError: went wrong" in text


def test_as_json_what_others_wrote_is_ascii() -> None:
    text = _run("json")
    assert text.isascii() and "\x1b" not in text
    event = _json_lines(text)[0]
    assert (event["reversed"], event["reason"]) == ("\u202egnp", "red \x1b[31m\nforged line")


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_stack_shows_no_local_variables(format: str) -> None:
    """They hold messages and tokens."""
    assert "the-token" not in _run(format)


def test_a_server_tells_of_its_start_and_its_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.terminate() == 0
        told = _json_lines(server.errors)
    assert [line["event"] for line in told] == ["listening", "shutting down", "shut down"]
    assert {line["level"] for line in told} == {"info"}
    assert told[0]["port"] == server.port
