"""From what users gave to `Settings`, or to all that is wrong with it, a line each."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from server.settings.masking import described, shown
from server.settings.rules import Rule, rules_for
from server.settings.schema import SECTIONS, Settings, keys
from server.settings.sources import (
    ConfigFileError,
    Given,
    from_environment,
    from_file,
    from_options,
    tables,
)

_KEYS = tuple(keys())
# How pydantic's messages begin; the line names the key already.
_subject = re.compile(r"^(Value error, |(Input|String|Value) (?=should)|input (?=was))").sub


class SettingsError(Exception):
    """The settings cannot be used. `faults` says why, one line each, without secrets."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def load_settings(
    config_path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    insecure: bool = False,
) -> Settings:
    """Read the file, then the environment, then the overrides (`{"server.port": 9000}`); the later wins.

    Without `config_path`, `config.toml` of the working directory is read if there is one.
    `insecure` allows a public address without authentication. Raises SettingsError with all faults.
    """
    unreadable: list[str] = []
    given: dict[str, Given] = {}
    try:
        given |= from_file(config_path)
    except ConfigFileError as error:
        unreadable.append(str(error))
    given |= from_environment(environ) | from_options(overrides or {})

    settings, wrong = _validated(given)
    faults = unreadable + [line for key in given for line in wrong.get(key, ())]
    if not unreadable:  # what stands in the file might have satisfied them
        rules = rules_for(settings, insecure=insecure)
        faults.extend(_broken(settings, [rule for rule in rules if wrong.keys().isdisjoint(rule.keys)]))
    if faults:
        raise SettingsError(faults)
    return settings


def _validated(given: Mapping[str, Given]) -> tuple[Settings, dict[str, list[str]]]:
    """Return the settings that the usable values make, and the faults of the others by key."""
    wrong = {key: [_fault(key, item, _unknown(key))] for key, item in given.items() if key not in _KEYS}
    try:
        return _built(given, wrong), wrong
    except ValidationError as error:
        for detail in error.errors():
            key = ".".join(map(str, detail["loc"][:2]))
            wrong.setdefault(key, []).append(_detailed(key, given[key], detail))
    return _built(given, wrong), wrong


def _built(given: Mapping[str, Given], wrong: Mapping[str, object]) -> Settings:
    """Raises ValidationError."""
    usable = {key: item for key, item in given.items() if key not in wrong}
    settings = Settings.model_validate(tables({key: item.value for key, item in usable.items()}))
    settings._origins.update({key: item.origin for key, item in usable.items()})
    return settings


def _detailed(key: str, item: Given, detail: ErrorDetails) -> str:
    """Name the very item of a list or table that is wrong."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"][2:])
    problem = "unknown key" if detail["type"] == "extra_forbidden" else _reworded(detail["msg"])
    return _fault(key + place, Given(detail["input"], item.origin), problem)


def _reworded(problem: str) -> str:
    return _subject("", problem).replace("valid tuple", "list").replace("valid dictionary", "table")


def _unknown(key: str) -> str:
    if key in SECTIONS:
        return "should be a table of keys"
    near = get_close_matches(key, _KEYS, n=1, cutoff=0.7)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key"


def _broken(settings: Settings, rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        if not rule.holds(settings):
            first, *others = rule.keys
            demand = rule.demand.format(None, *(described(settings, key) for key in others))
            yield f"{described(settings, first)}: {demand}"


def _fault(key: str, item: Given, problem: str) -> str:
    return f"{key} = {shown(key, item.value)} ({item.origin}): {problem}"
