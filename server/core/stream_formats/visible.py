"""Lets through what a person is to see of an AI's text, however it was cut into pieces."""

import re
from typing import Final

from server.core.visible_text import first_visible

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
_UNSAVABLE: Final = re.compile("[\0\ud800-\udfff]")
_MAX_UNSEEN: Final = (
    64  # characters that show nothing before the first that does: marks of direction and the like
)


class Visible:
    """Drops thoughts (`<think>`) and leading white space; NUL and lone surrogates become U+FFFD.

    What it returns begins with something that can be seen, so that "" all along means: no answer.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._unseen = ""  # what stands before the first visible character and is no white space
        self._is_thought = False
        self._tag = ""  # the beginning of what may become a tag
        self._half = ""  # a character's first surrogate: JSON may bring the second in the next piece

    def feed(self, text: str) -> str:
        """Return what can be shown now; the rest comes with a later piece, or with `close`."""
        return self._begun(self._without_thoughts(self._mended(text)))

    def close(self) -> str:
        """Return what was held back, for there is no later piece."""
        half, self._half = "\ufffd" if self._half else "", ""
        text = self._without_thoughts(half)
        held, self._tag = self._tag, ""
        return self._begun(text if self._is_thought else text + held)

    def _mended(self, text: str) -> str:
        if not text or not (self._half or _UNSAVABLE.search(text)):
            return text
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        halves = text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass")
        return halves.decode("utf-16-le", "replace")

    def _without_thoughts(self, text: str) -> str:
        text, self._tag = self._tag + text, ""
        if not self._is_thought and "<" not in text:
            return text
        shown = []
        while text:
            tag = _CLOSE if self._is_thought else _OPEN
            before, found, text = text.partition(tag)
            if not found:
                self._tag = _beginning_of(tag, before)
                before = before.removesuffix(self._tag)
            if not self._is_thought:
                shown.append(before)
            self._is_thought ^= bool(found)
        return "".join(shown)

    def _begun(self, text: str) -> str:
        if self._has_begun or not text:
            return text
        at = first_visible(text)
        before, text = (text, "") if at < 0 else (text[:at], text[at:])
        unseen = (self._unseen + "".join(before.split()))[:_MAX_UNSEEN]
        self._has_begun = bool(text)
        self._unseen = "" if self._has_begun else unseen
        return unseen + text if self._has_begun else ""


def _beginning_of(tag: str, text: str) -> str:
    """Find the longest beginning of `tag` that `text` ends with."""
    longest = min(len(tag) - 1, len(text))
    return next((tag[:n] for n in range(longest, 0, -1) if text.endswith(tag[:n])), "")
