"""Tells whether a text shows anything to a person."""

import re
from typing import Final

# The characters that show nothing, beside white space: Unicode's category Cf, the Hangul fillers, the blank
# Braille pattern and the variation selectors. A test holds them against Python's own Unicode tables.
_SHOW_NOTHING: Final = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef"
)
_find_visible = re.compile(rf"[^\s{_SHOW_NOTHING}]").search


def first_visible(text: str) -> int:
    """Return where the first character stands that shows something; -1 where none does."""
    found = _find_visible(text)
    return -1 if found is None else found.start()


def shows_something(text: str) -> bool:
    """Return whether the text has a character that is neither white space nor one that shows nothing."""
    return _find_visible(text) is not None
