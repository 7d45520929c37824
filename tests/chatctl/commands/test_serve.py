import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chatctl.conftest import Run


def test_every_fault_of_the_settings_is_a_line_and_exit_code_2(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("[heartbeat]\ntimeout = 1\n")
    assert chatctl("serve", "--port", "99999", "--log-level", "loud") == (
        2,
        "",
        "chatctl: server.port = 99999 (option --port): should be less than or equal to 65535\n"
        'chatctl: log.level = "loud" (option --log-level):'
        " should be 'debug', 'info', 'warning' or 'error'\n"
        "chatctl: heartbeat.timeout = 1.0 (config.toml):"
        " should be above heartbeat.interval = 30.0 (default)\n",
    )


def started(folder: Path, *arguments: str) -> list[str]:
    """Start a server, end it, and return what it printed."""
    command = [sys.executable, "-m", "chatctl", "serve", "--port", "0", "--store", "memory://", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip() for _ in range(5)]
        process.terminate()
    return lines


@pytest.mark.parametrize(
    ("responder", "who"),
    [("none", "nobody, but for services that call the REST API"), ("demo", "a scripted persona")],
)
def test_a_start_tells_the_addresses_and_who_answers(empty_folder: Path, responder: str, who: str) -> None:
    lines = started(empty_folder, "--host", "[::1]", "--responder", responder)
    assert [line.split()[0] for line in lines] == ["Chat", "WebSocket", "REST", "Health", "Answers"]
    assert lines[0].startswith("Chat page  http://[::1]:")
    assert lines[4] == f'Answers    {who} (ai.responder = "{responder}")'


def test_an_address_that_this_machine_has_not_is_one_line_about_the_host(empty_folder: Path) -> None:
    command = [sys.executable, "-m", "chatctl", "serve", "--insecure", "--store", "memory://", "--port", "0"]
    for host in ("192.0.2.1", "nobody.invalid"):
        line = [*command, "--host", host]
        ended = subprocess.run(line, cwd=empty_folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert re.fullmatch(rf'chatctl: server.host = "{host}": [^\n]+\n', ended.stderr)
