"""From what users gave to `Settings`, or to all that is wrong with it, a line each."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from server.settings.masking import shown
from server.settings.rules import PUBLIC_BIND, RULES, Rule
from server.settings.schema import SECTIONS, Settings, keys
from server.settings.sources import ConfigFileError, Given, from_environment, from_file, from_options

# How pydantic's messages begin; the line names the key already.
_subject = re.compile(r"^(Value error, |(Input|String|Value) (?=should))").sub


class SettingsError(Exception):
    """The settings cannot be used. `faults` says why, one line each, without secrets."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
    faults: list[str] = []
    given: dict[str, Given] = {}
    try:
        given |= from_file(config_path)
    except ConfigFileError as error:
        faults.append(str(error))
    given |= from_environment(environ) | from_options(overrides or {})

    wrong = {key: found for key, item in given.items() if (found := _faults_of(key, item))}
    faults.extend(line for found in wrong.values() for line in found)
    settings = _built({key: item for key, item in given.items() if key not in wrong})
    rules = RULES if insecure else (*RULES, PUBLIC_BIND)
    faults.extend(_broken(settings, [rule for rule in rules if wrong.keys().isdisjoint(rule.keys)]))
    if faults:
        raise SettingsError(tuple(faults))
    return settings


def _faults_of(key: str, item: Given) -> list[str]:
    section, _, name = key.partition(".")
    model = SECTIONS.get(section)
    if model is None or name not in model.model_fields:
        return [_fault(key, item.value, item.origin, _unknown(key))]
    try:
        model.model_validate({name: item.value}, strict=item.typed)
    except ValidationError as error:
        return [_detail(section, item, detail) for detail in error.errors()]
    return []


def _detail(section: str, item: Given, detail: ErrorDetails) -> str:
    name, *rest = detail["loc"]
    key = f"{section}.{name}" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    problem = "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"]
    return _fault(key, detail["input"], item.origin, _reworded(problem))


def _reworded(problem: str) -> str:
    return _subject("", problem).replace("valid tuple", "list")


def _unknown(key: str) -> str:
    if key in SECTIONS:
        return "should be a table of keys"
    near = get_close_matches(key, list(keys()), n=1, cutoff=0.7)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key"


def _built(given: Mapping[str, Given]) -> Settings:
    tables: dict[str, dict[str, Any]] = {}
    for key, item in given.items():
        section, _, name = key.partition(".")
        tables.setdefault(section, {})[name] = item.value
    settings = Settings.model_validate(tables)
    settings._origins.update({key: item.origin for key, item in given.items()})
    return settings


def _broken(settings: Settings, rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        if not rule.holds(settings):
            first, *others = rule.keys
            demand = rule.demand.format(None, *(_described(settings, key) for key in others))
            yield f"{_described(settings, first)}: {demand}"


def _described(settings: Settings, key: str) -> str:
    return f"{key} = {shown(key, settings.value_of(key))} ({settings.origin_of(key)})"


def _fault(key: str, value: Any, origin: str, problem: str) -> str:
    return f"{key} = {shown(key, value)} ({origin}): {problem}"
