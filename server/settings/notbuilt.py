"""Which keys the schema knows already though nothing in the server obeys them yet."""

from collections.abc import Iterator
from typing import Final

from server.settings.masking import described
from server.settings.schema import SECTIONS, Settings

NOT_BUILT_YET = frozenset(
    {
        "server.workers",
        "store.retention",
        "backplane.*",
        "ai.webhook_url",
        "ai.webhook_secrets",
        "ai.webhook_events",
        "ai.webhook_timeout",
        "ai.webhook_attempts",
        "ai.webhook_concurrency",
        "moderation.*",
        "disclosure.*",
    }
)
"""Keys, or whole sections as `section.*`. A feature that lands takes its keys out."""

NOT_BUILT_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "ai.responder": ("webhook",),
}
"""Keys of which only some values wait; how those begin."""


def unbuilt(settings: Settings) -> Iterator[str]:
    """Yield one line for each value that has no effect yet."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            key = f"{section}.{name}"
            if _is_waiting(key, settings) and settings.value_of(key) != field.default:
                yield f"{described(settings, key)}: not built yet, has no effect"


def note(key: str) -> str:
    """Return what a manual says of the key beside what it is for; "" where all of it is built."""
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
