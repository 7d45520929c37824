import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chatctl.conftest import Run
from tests.chatctl.dashboard.figures_of_a_server import room, stats
from tests.chatctl.rest_server import RestServer

LISTS = ("conversations", "events", "errors")


def serve_stats(rest: RestServer, received: int = 0) -> None:
    rest.answers["GET /stats"] = (200, stats(received))
    for name in LISTS:
        rest.answers[f"GET /stats/{name}"] = (200, {"items": [], "has_more": False})


def test_json_is_the_servers_document(chatctl: Run, rest: RestServer) -> None:
    serve_stats(rest)
    code, out, _ = chatctl("stats", "--json")
    assert (code, json.loads(out)) == (0, stats())


def test_once_prints_one_picture_and_ends(chatctl: Run, rest: RestServer) -> None:
    serve_stats(rest)
    rest.answers["GET /stats/conversations"] = (200, {"items": [room("conv_a")], "has_more": False})
    code, out, err = chatctl("stats", "--once")
    assert (code, err) == (0, "")
    assert "conv_a" in out
    assert "q quits" not in out  # nobody is there to press it
    assert "\x1b" not in out


def test_a_server_that_never_answered_is_one_line(chatctl: Run) -> None:
    for mode in ([], ["--once"], ["--json"]):
        code, out, err = chatctl("stats", "--url", "http://127.0.0.1:1", *mode)
        assert (code, out) == (1, "")
        assert err == "chatctl: cannot reach http://127.0.0.1:1: Connection refused\n"


@contextmanager
def live(url: str, kind: str = "xterm") -> Iterator["Screen"]:
    """The dashboard in a terminal of its own, of that kind."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chatctl", "stats", "--url", url],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": kind, "COLUMNS": "100", "LINES": "30"},
    )
    os.close(its)
    try:
        yield Screen(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Screen:
    """What the terminal was sent."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self.terminal = terminal
        self.process = process

    def wait_for(self, text: str) -> None:
        seen, deadline = b"", time.monotonic() + 20
        while text not in seen.decode(errors="replace"):
            assert select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0], seen
            seen += os.read(self.terminal, 65536)

    def press(self, key: str) -> None:
        os.write(self.terminal, key.encode())


def test_live_it_outlasts_the_servers_absence_and_ends_by_q(rest: RestServer) -> None:
    serve_stats(rest)
    with live(rest.url) as screen:
        screen.wait_for("● ok")
        rest.refuse("GET /stats", 503, "The server drains", "shutting_down")
        screen.wait_for("The server drains")
        serve_stats(rest, received=1000)
        screen.wait_for("● ok")
        screen.wait_for("q quits")
        screen.press("q")
        assert screen.process.wait(timeout=10) == 0


def test_ctrl_c_is_a_way_to_end_it_too(rest: RestServer) -> None:
    serve_stats(rest)
    with live(rest.url) as screen:
        screen.wait_for("● ok")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(timeout=10) == 0


LEAVES_ALTERNATE_SCREEN = "\x1b[?1049l"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_whatever_ends_it_the_terminal_is_as_it_was(rest: RestServer, number: int) -> None:
    serve_stats(rest)
    with live(rest.url) as screen:
        before = termios.tcgetattr(screen.terminal)
        screen.wait_for("● ok")
        assert termios.tcgetattr(screen.terminal) != before  # keys are read one by one
        screen.process.send_signal(number)
        screen.wait_for(LEAVES_ALTERNATE_SCREEN)
        assert screen.process.wait(timeout=10) == 128 + number
        assert termios.tcgetattr(screen.terminal) == before


def test_a_terminal_that_cannot_be_redrawn_gets_one_picture(rest: RestServer) -> None:
    serve_stats(rest)
    with live(rest.url, "dumb") as screen:
        screen.wait_for("● ok")
        assert screen.process.wait(timeout=10) == 0
