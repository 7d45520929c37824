"""The server's settings: schema, where values come from, what is wrong with them.

Only `server.main`, `server.wiring` and `chatctl` read settings; all others are handed values.
"""

from server.settings.companions import AI, Persona
from server.settings.load import SettingsError, load_settings
from server.settings.masking import masked, shown
from server.settings.notbuilt import NOT_BUILT_YET, note, unbuilt
from server.settings.schema import SECTIONS, Settings, keys
from server.settings.warn import guessable, warnings

__all__ = [
    "AI",
    "NOT_BUILT_YET",
    "SECTIONS",
    "Persona",
    "Settings",
    "SettingsError",
    "guessable",
    "keys",
    "load_settings",
    "masked",
    "note",
    "shown",
    "unbuilt",
    "warnings",
]
