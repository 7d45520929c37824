"""The three places that values come from, read by pydantic-settings' sources.

Each gives a flat mapping of `section.key` to value and origin, keys too that nobody knows: the library passes
over unknown variables, and tells of values without saying where they stand.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json
from pydantic_settings import (
    EnvSettingsSource,
    InitSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from server.settings.schema import SECTIONS, Settings

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
_variable = re.compile(r"CHAT_(.*?)__(.*)", re.S).fullmatch


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, and where."""

    value: Any
    origin: str


class ConfigFileError(Exception):
    """The configuration file cannot be used at all; the text says why."""


class _FileSource(TomlConfigSettingsSource):
    def _read_files(self, files: Any, deep_merge: bool = False) -> dict[str, Any]:
        """Read what was asked for: the library passes over what is missing or no regular file."""
        return self._read_file(files)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        """Read a file that may begin with the byte order mark that some editors write."""
        return tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))


class _VariableSource(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Read the items of a list: JSON, or separated by commas, each as the list wants it."""
        items = _items(value)
        if not isinstance(items, list):
            return items
        kind = get_args(field.annotation)[0]
        return [_typed(kind, item) for item in items]


def from_file(path: Path | None) -> dict[str, Given]:
    """Return what the file gives; without a path, `config.toml` of the working directory if there is one.

    Raises ConfigFileError.
    """
    if path is None:
        if not CONFIG_FILE.exists():
            return {}
        path = CONFIG_FILE
    try:
        document = _FileSource(Settings, path)()
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{path}: no UTF-8: {error.reason} (at byte {error.start})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigFileError(f"{path}: no TOML: {error}") from error
    return {key: Given(value, str(path)) for key, value in _flat(document)}


def from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """Return what the variables `CHAT_<SECTION>__<KEY>` give."""
    given = {}
    for name, text in environ.items():
        if match := _variable(name):
            section, key = match[1].lower(), match[2].lower()
            given[f"{section}.{key}"] = Given(_value(section, key, text), f"environment variable {name}")
    return given


def from_options(overrides: Mapping[str, Any]) -> dict[str, Given]:
    """Return what the command line gives, keyed by `section.key`."""
    document = InitSettingsSource(Settings, tables(overrides))()
    return {key: Given(value, f"option {OPTIONS.get(key, key)}") for key, value in _flat(document)}


def tables(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn `{"server.port": 1}` into `{"server": {"port": 1}}`."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in document.items():
        if isinstance(table, dict) and table:
            yield from ((f"{section}.{key}", value) for key, value in table.items())
        elif table != {} or section not in SECTIONS:
            yield section, table


def _value(section: str, key: str, text: str) -> Any:
    """Read the text as what the key wants. What cannot be read so stays text, which the schema refuses."""
    field = SECTIONS[section].model_fields.get(key) if section in SECTIONS else None
    if field is None:
        return text
    source = _VariableSource(Settings)
    if not text and source.field_is_complex(field):
        return (get_origin(field.annotation) or str)()
    source.env_vars = {f"{source.env_prefix}{section}__{key}": text}
    try:
        return source()[section][key]
    except (SettingsError, RecursionError):
        return text


def _typed(kind: Any, item: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(item)
    except ValidationError:
        return item  # which the schema refuses


def _items(text: str) -> Any:
    if text.lstrip().startswith(("[", "{")):
        try:
            return from_json(text)
        except ValueError:
            return text
    return [item.strip() for item in text.split(",") if item.strip()]
