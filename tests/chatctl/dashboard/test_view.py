import re

import pytest
from rich.console import Console

from chatctl.dashboard.history import History, Snapshot
from chatctl.dashboard.view import dashboard
from tests.chatctl.dashboard.figures_of_a_server import error, event, room, stats

DIM = "\x1b[2m"  # SGR 2
URL = "http://chat.example"


def history(*rates: int, nacked: int = 0) -> History:
    lists = {
        "rooms": [room("conv_kai_ai_alex")],
        "events": [
            event("connect", 1, client_id="a-phone-with-a-long-name"),
            event("disconnect", 2, code=4002, reason="slow consumer"),
        ],
        "errors": [error("rate_limited", 3)],
    }
    told = History(Snapshot(0, stats(), **lists))
    received = 0
    for second, rate in enumerate(rates, 1):
        received += rate
        told.add(Snapshot(second, stats(received, 3 * received, rate_limited=nacked), **lists))
    return told


def picture(told: History, width: int = 140, height: int = 45, now: float = 0, colored: bool = False) -> str:
    console = Console(
        width=width, height=height, force_terminal=colored, color_system="standard" if colored else None
    )
    with console.capture() as capture:
        console.print(dashboard(told, URL, width, height, now))
    return capture.get()


def test_without_keys_to_tell_its_last_line_is_empty() -> None:
    assert picture(history(50)).splitlines()[-1].strip() == ""


def test_it_shows_the_figures_of_the_server() -> None:
    shown = picture(history(50, 120, nacked=1203))
    for figure in (
        "61",
        "90",
        "20",
        "120",
        "360",
        "0.61",
        "1.24",
        "2.06",
        "14.9",
        "1.71",
        "1,203",
        "3.4",
        "57",
    ):
        assert figure in shown, figure
    for text in (
        URL,
        "● ok",
        "up 1h 06m",
        "rate_limited",
        "conv_kai_ai_alex",
        "user123 a-phone- ",
        "4002 slow consumer",
        "loop lag 1.87 ms",
    ):
        assert text in shown, text


def test_it_fits_80_by_24_with_every_section() -> None:
    lines = picture(history(50, 120, nacked=5), 80, 24).splitlines()
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for section in ("Connections", "Messages", "Latency", "Server", "Errors", "NACKs", "Rooms", "Events"):
        assert section in text
    assert "conv_kai_ai_alex" in text


@pytest.mark.parametrize(("width", "height"), [(140, 45), (110, 24), (80, 24)])
def test_it_shows_what_is_owed_and_how_the_ai_service_is(width: int, height: int) -> None:
    told = history(50)
    ai = told.latest.stats["ai"]
    shown = picture(told, width, height)
    assert re.search(r"service +up\b", shown)
    ai |= {"breaker": "open", "turns_waiting": 1234, "oldest_unanswered_seconds": 187.0, "dead_letters": 17}
    ai["failures"] = {"timeout": 1, "unreachable": 41}
    shown = picture(told, width, height)
    for pattern in ("service +down", "waiting +1,234", "oldest +3m 07s", "dead letters +17"):
        assert re.search(pattern, shown), pattern
    assert re.search(r"unreachable +41", shown) or height < 40
    ai["paused"] = True
    assert re.search("service +paused", picture(told, width, height))
    ai |= {"paused": False, "breaker": "half_open"}
    assert re.search("service +slow start", picture(told, width, height))


def test_no_size_of_terminal_is_too_small_or_too_large() -> None:
    told = history(1, 2, 3)
    for width in (1, 10, 21, 40, 60, 75, 76, 80, 109, 110, 300):
        for height in (1, 5, 24, 36, 80):
            lines = picture(told, width, height).splitlines()
            assert len(lines) <= height
            assert all(len(line) <= width for line in lines)


def test_a_server_that_went_away_leaves_the_last_figures_and_says_for_how_long() -> None:
    told = history(50, 120)
    told.miss("Connection refused")
    shown = picture(told, now=67)
    assert "● no answer for 1m 05s (Connection refused)" in shown
    assert "14.9" in shown
    assert "in/s        -" in shown


def test_old_figures_are_dimmed() -> None:
    def is_dim(told: History) -> bool:
        line = next(line for line in picture(told, colored=True).splitlines() if "rate_limited" in line)
        return DIM in line

    told = history(50)
    assert not is_dim(told)
    told.miss("Connection refused")
    assert is_dim(told)


def test_it_recovers_when_the_server_is_back() -> None:
    told = history(50)
    told.miss("Connection refused")
    told.add(Snapshot(3, stats(50 + 240), [], [], []))
    shown = picture(told)
    assert "no answer" not in shown
    assert "in/s      120" in shown


def test_what_users_named_things_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J[bold]\u202e"
    told = History(
        Snapshot(
            0,
            stats(),
            [room(evil)],
            [event("disconnect", 1, reason=evil)],
            [error(evil, 1)],
        )
    )
    shown = picture(told)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("\\x1b[2J[bold]\\u202e") == 3


def test_an_idle_server_looks_calm() -> None:
    shown = picture(History(Snapshot(0, stats(), [], [], [])))
    for text in ("nobody is here", "nothing yet", "none"):
        assert text in shown
