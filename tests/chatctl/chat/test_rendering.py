import re
from io import StringIO

import pytest
from rich.console import Console

from chatctl.chat.rendering import plain_line, rich_line, rich_open
from chatctl.chat.transcript import Connection, Kind, Line, Transcript
from chatctl.client.events import Typing
from chatctl.client.outgoing import Status

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\u202ec\x9bd\re"


def drawn(line: Line, width: int = 60) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(rich_line(line))
    return capture.get()


@pytest.mark.parametrize(
    ("status", "tick"),
    [
        (Status.SENDING, "\x1b[90m✓ \x1b[0m"),
        (Status.DELIVERED, "\x1b[32m✓✓\x1b[0m"),
        (Status.FAILED, "\x1b[1;31m✗ \x1b[0m"),
    ],
)
def test_the_status_is_a_grey_tick_two_green_ones_or_a_red_cross(status: Status, tick: str) -> None:
    assert tick in drawn(Line(Kind.OWN, "hello", "you", "12:00", status))


@pytest.mark.parametrize("kind", [Kind.OWN, Kind.OTHER, Kind.NOTE])
def test_nothing_in_a_text_or_a_name_reaches_the_terminal_as_a_command(kind: Kind) -> None:
    line = Line(kind, HOSTILE, HOSTILE, "12:00", reason=HOSTILE)

    for shown in (drawn(line, width=400), plain_line(line)):
        assert [part for part in ("\x1b[2J", "\x1b]", "\x07", "\u202e", "\x9b", "\r") if part in shown] == []
        assert "a\\x1b[2J" in shown


def test_markup_in_a_text_is_shown_as_it_is() -> None:
    assert "[bold]x[/]" in drawn(Line(Kind.OTHER, "[bold]x[/]", "Alex"))


def test_a_text_that_wraps_is_indented() -> None:
    shown = drawn(Line(Kind.OTHER, "word " * 30, "Alex", "12:00"), width=40)
    first, second, *_ = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()

    assert first.startswith("12:00    Alex word")
    assert second.startswith("              word")


def test_in_a_pipe_a_message_is_one_line() -> None:
    assert plain_line(Line(Kind.OWN, "a\nb", "you", "12:00", Status.DELIVERED)) == "✓✓ you: a\\nb"


def test_what_stands_behind_a_text_is_set_apart_from_it() -> None:
    line = Line(Kind.OTHER, "Hel", "Alex", "12:00", finish="(stopped)")
    assert "Hel\x1b[2;3m (stopped)" in drawn(line)
    assert plain_line(line) == "Alex: Hel (stopped)"


def test_below_the_lines_stand_the_connection_and_who_is_typing() -> None:
    transcript = Transcript("u")
    transcript.connection = Connection("open", devices=2)
    transcript.apply(Typing("ai_alex", True), now=0.0)
    console = Console(file=StringIO(), width=80)
    with console.capture() as capture:
        console.print(rich_open(transcript, now=0.0))
        transcript.connection = Connection("reconnecting", "refused", retry_at=12.4)
        console.print(rich_open(transcript, now=10.0))

    connected, reconnecting = capture.get().splitlines()
    assert connected == "● connected, 2 devices · ai_alex is typing…"
    assert reconnecting == "● reconnecting in 2 s (refused)"
