import pytest

from chatctl.text import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["Grüße 你好 مرحبا", "👩‍👩‍👧 🏳️‍🌈", "[bold]no markup[/bold] \\n"])
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_lines_stay_lines_where_they_may() -> None:
    assert printable_lines("a\n\x1bb") == "a\n\\x1bb"
