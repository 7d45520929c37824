"""Which keys the schema knows already though nothing in the server obeys them yet."""

from collections.abc import Iterator

from server.settings.masking import described
from server.settings.schema import SECTIONS, Settings

NOT_BUILT_YET = frozenset(
    {
        "store.retention",
        "moderation.*",
        "disclosure.*",
    }
)
"""Keys, or whole sections as `section.*`. A feature that lands takes its keys out."""


def unbuilt(settings: Settings) -> Iterator[str]:
    """Yield one line for each value that has no effect yet."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            key = f"{section}.{name}"
            if _is_unbuilt(key) and settings.value_of(key) != field.default:
                yield f"{described(settings, key)}: not built yet, has no effect"


def note(key: str) -> str:
    """Return what a manual says of the key beside what it is for; "" where all of it is built."""
    return "Not built yet." if _is_unbuilt(key) else ""


def _is_unbuilt(key: str) -> bool:
    return key in NOT_BUILT_YET or f"{key.partition('.')[0]}.*" in NOT_BUILT_YET
