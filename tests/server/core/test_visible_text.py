import sys
import unicodedata

import pytest

from server.core.visible_text import shows_something

_OTHERS = [0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]


def test_no_format_character_filler_or_variation_selector_shows_anything() -> None:
    formats = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == "Cf"]
    assert len(formats) > 100
    assert [hex(c) for c in [*formats, *_OTHERS] if shows_something(chr(c))] == []


@pytest.mark.parametrize("text", ["a", " .", "\u200bx", "\ufe0f\u2764", "\u3042", "\U0001f44b", "\u0301"])
def test_one_character_that_shows_is_enough(text: str) -> None:
    assert shows_something(text)


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u200d", "\u2800 \u3164", "\ufeff", "\u2028"])
def test_white_space_and_what_shows_nothing_is_nothing(text: str) -> None:
    assert not shows_something(text)
