"""The three places that values come from. Each gives a flat mapping of `section.key` to value and origin."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from server.settings.schema import SECTIONS

CONFIG_FILE = Path("config.toml")

OPTIONS = {
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
    "store.url": "--store",
    "backplane.url": "--backplane",
    "ai.responder": "--responder",
    "log.level": "--log-level",
}
"""The keys that `chatctl serve` has an option for."""

# Two underscores make a name ours: CHAT_SERVER_PORT may be a cluster's link to a service "chat-server".
_variable = re.compile(r"CHAT_(.+?)__(.+)").fullmatch


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, and where."""

    value: Any
    origin: str
    typed: bool
    """Whether the source has types; text of a variable still has to be read as number or list."""


class ConfigFileError(Exception):
    """The configuration file cannot be used at all; the text says why."""


def from_file(path: Path | None) -> dict[str, Given]:
    """What the file gives; without a path, `config.toml` of the working directory if there is one."""
    if path is None:
        if not CONFIG_FILE.exists():
            return {}
        path = CONFIG_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"{path}: no TOML: {error}") from error
    return {key: Given(_frozen(value), str(path), typed=True) for key, value in _flat(document)}


def from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """What the variables `CHAT_<SECTION>__<KEY>` give."""
    given = {}
    for name, text in environ.items():
        if match := _variable(name):
            section, key = match[1].lower(), match[2].lower()
            value = _items(text) if _is_list(section, key) else text
            given[f"{section}.{key}"] = Given(value, f"environment variable {name}", typed=False)
    return given


def from_options(overrides: Mapping[str, Any]) -> dict[str, Given]:
    """What the command line gives, keyed by `section.key`."""
    return {
        key: Given(_frozen(value), f"option {OPTIONS.get(key, key)}", typed=False)
        for key, value in overrides.items()
    }


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in document.items():
        if isinstance(table, dict) and table:
            yield from ((f"{section}.{key}", value) for key, value in table.items())
        elif table != {} or section not in SECTIONS:
            yield section, table


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _is_list(section: str, key: str) -> bool:
    field = SECTIONS[section].model_fields.get(key) if section in SECTIONS else None
    return field is not None and get_origin(field.annotation) is tuple


def _items(text: str) -> Any:
    """The items of a list in a variable: JSON, or separated by commas."""
    if text.lstrip().startswith("["):
        try:
            return _frozen(json.loads(text))
        except ValueError:
            return text
    return tuple(item.strip() for item in text.split(",") if item.strip())
