"""Takes secrets out of what others say, before it is told on."""

from collections.abc import Iterable
from typing import Final

_STARS: Final = "***"
_SHORTEST: Final = 4  # characters of a secret at the end of a text that are no chance


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Replace each secret, and the beginning of one with which the text, cut somewhere, ends."""
    for secret in filter(None, secrets):
        text = text.replace(secret, _STARS)
        for length in range(len(secret) - 1, _SHORTEST - 1, -1):
            if text.endswith(secret[:length]):
                text = text[:-length] + _STARS
                break
    return text
