"""What a start says of settings that are allowed and yet may surprise."""

from collections.abc import Iterator

from server.settings.masking import described
from server.settings.notbuilt import unbuilt
from server.settings.rules import GUESSABLE
from server.settings.schema import Settings


def warnings(settings: Settings) -> Iterator[str]:
    """Yield one line for each value without effect, and for each secret that can be guessed."""
    yield from unbuilt(settings)
    yield from guessable(settings)


def guessable(settings: Settings) -> Iterator[str]:
    """Yield one line for each kind of secret that is too short."""
    for rule in GUESSABLE:
        if not rule.holds(settings):
            yield f"{described(settings, rule.keys[0])}: {rule.demand}"
