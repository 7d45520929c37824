"""Text of users on its way to a terminal."""

import re

# C0, DEL, C1; the bidi controls, which reorder what is read; line separators; lone surrogates, which no
# terminal encoding has.
_unsafe = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text on one line, with everything a terminal would obey made visible as an escape."""
    return _unsafe.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same, but line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
