"""Which keys the schema knows already though nothing in the server obeys them yet."""

from collections.abc import Iterator

from server.settings.masking import shown
from server.settings.schema import SECTIONS, Settings

NOT_BUILT_YET = frozenset(
    {
        "server.workers",
        "rate_limit.signals",
        "backplane.*",
        "auth.*",
        "ai.*",
    }
)
"""Keys, or whole sections as `section.*`. A feature that lands takes its keys out."""


def warnings(settings: Settings) -> Iterator[str]:
    """One line for each value that has no effect yet."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            key = f"{section}.{name}"
            waiting = key in NOT_BUILT_YET or f"{section}.*" in NOT_BUILT_YET
            if waiting and settings.value_of(key) != field.default:
                value = shown(key, settings.value_of(key))
                yield f"{key} = {value} ({settings.origin_of(key)}): not built yet, has no effect"
