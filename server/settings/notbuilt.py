"""Which keys the schema knows already though nothing in the server obeys them yet."""

from collections.abc import Iterator
from typing import Final

from server.settings.masking import shown
from server.settings.schema import SECTIONS, Settings

NOT_BUILT_YET = frozenset(
    {
        "server.workers",
        "backplane.*",
        "ai.webhook_url",
        "ai.webhook_secret",
        "ai.webhook_events",
        "ai.base_url",
        "ai.model",
        "ai.api_key",
        "ai.personas",
    }
)
"""Keys, or whole sections as `section.*`. A feature that lands takes its keys out."""


NOT_BUILT_VALUES: Final = {"ai.responder": ("webhook", "openai"), "store.url": ("postgresql://",)}
"""Keys of which only some values wait; how those begin."""

# What the server does with a value that waits for its feature, where it does not merely ignore it.
_CONSEQUENCES: Final = {"store.url": "the server does not start with it"}


def warnings(settings: Settings) -> Iterator[str]:
    """One line for each value that has no effect yet."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            key = f"{section}.{name}"
            if _is_waiting(key, settings) and settings.value_of(key) != field.default:
                value = shown(key, settings.value_of(key))
                consequence = _CONSEQUENCES.get(key, "has no effect")
                yield f"{key} = {value} ({settings.origin_of(key)}): not built yet, {consequence}"


def note(key: str) -> str:
    """What a manual says of the key beside what it is for; "" where all of it is built."""
    if _is_unbuilt(key):
        return "Not built yet."
    values = NOT_BUILT_VALUES.get(key, ())
    return f"Not built yet: {', '.join(values)}." if values else ""


def _is_waiting(key: str, settings: Settings) -> bool:
    if key in NOT_BUILT_VALUES:
        return str(settings.value_of(key)).startswith(NOT_BUILT_VALUES[key])
    return _is_unbuilt(key)


def _is_unbuilt(key: str) -> bool:
    return key in NOT_BUILT_YET or f"{key.partition('.')[0]}.*" in NOT_BUILT_YET
