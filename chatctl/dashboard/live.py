"""The loop around the view: fetch, draw, wait for the rest of the second or a key."""

import os
import select
import sys
import termios
import time
import tty
from typing import Self

from rich.console import Console
from rich.live import Live

from chatctl.api import Api, RefusedError, UnreachableError
from chatctl.dashboard.history import History, Snapshot
from chatctl.dashboard.view import dashboard

REFRESH_SECONDS = 1.0
# What the lists are asked for: more than any terminal shows.
LINES = 100


def fetch(api: Api) -> Snapshot:
    """One snapshot. Raises UnreachableError or RefusedError."""
    return Snapshot(
        at=time.monotonic(),
        stats=api.get("/stats"),
        rooms=api.get("/stats/conversations", limit=LINES)["items"],
        events=api.get("/stats/events", limit=LINES)["items"],
        errors=api.get("/stats/errors", limit=LINES)["items"],
    )


def draw_once(api: Api, console: Console) -> None:
    """One picture, then the end."""
    first = fetch(api)
    time.sleep(REFRESH_SECONDS)  # a rate is the difference of two snapshots
    history = History(first)
    history.add(fetch(api))
    console.print(dashboard(history, api.url, console.width, console.height, time.monotonic()))


def watch(api: Api, console: Console) -> None:
    """Draw each second until `q` or Ctrl-C. A server that goes away is waited for; the figures stay."""
    history = History(fetch(api))
    with _Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic()
        while True:
            now = time.monotonic()
            picture = dashboard(history, api.url, console.width, console.height, now, keys=" q quits")
            live.update(picture, refresh=True)
            due = max(due + REFRESH_SECONDS, now)
            if keyboard.quits(due - now):
                return
            _update(history, api)


def _update(history: History, api: Api) -> None:
    try:
        history.add(fetch(api))
    except UnreachableError as error:
        history.miss(error.reason)
    except RefusedError as error:
        history.miss(str(error))


class _Keyboard:
    """Single keys of a terminal, without echo. Without a terminal there are none."""

    def __init__(self) -> None:
        self._input = sys.stdin.fileno() if sys.stdin.isatty() else None

    def __enter__(self) -> Self:
        if self._input is not None:
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)
        return self

    def __exit__(self, *_: object) -> None:
        if self._input is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    def quits(self, seconds: float) -> bool:
        """Wait that long; True as soon as `q` is pressed."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._input is None:
                time.sleep(left)
            elif select.select([self._input], [], [], left)[0] and os.read(self._input, 1) in (b"q", b"Q"):
                return True
        return False
