"""The three places that values come from. Each gives a flat mapping of `section.key` to value and origin."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource, InitSettingsSource, TomlConfigSettingsSource

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


class FileSource(TomlConfigSettingsSource):
    """A file; without a path, `config.toml` of the working directory if there is one.

    Raises ConfigFileError.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = CONFIG_FILE if path is None and CONFIG_FILE.exists() else path
        super().__init__(Settings, self._path)

    def _read_files(self, files: Any, deep_merge: bool = False) -> dict[str, Any]:
        """A file that was asked for and is not there is a fault; the base class passes over it."""
        try:
            return {} if self._path is None else self._read_file(self._path)
        except OSError as error:
            raise ConfigFileError(f"{self._path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigFileError(f"{self._path}: no TOML: {error}") from error

    def given(self) -> dict[str, Given]:
        return {key: Given(_frozen(value), str(self._path), typed=True) for key, value in _flat(self())}


class VariablesSource(EnvSettingsSource):
    """The variables `CHAT_<SECTION>__<KEY>`, those too that name no key."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name: text for name, text in environ.items() if _variable(name)}
        super().__init__(Settings, case_sensitive=False)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._environ.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return _items(value)

    def given(self) -> dict[str, Given]:
        known = self()
        given = {}
        for name, text in self._environ.items():
            section, key = name.removeprefix(self.env_prefix).lower().split("__", 1)
            value = known.get(section, {}).get(key, text)
            if not text and self._is_list(section, key):
                value = ()  # the base class decodes no empty text
            given[f"{section}.{key}"] = Given(value, f"environment variable {name}", typed=False)
        return given

    def _is_list(self, section: str, key: str) -> bool:
        field = self.next_field(Settings.model_fields.get(section), key)
        return field is not None and self.field_is_complex(field)


class OptionsSource(InitSettingsSource):
    """What the command line gives, keyed by `section.key`."""

    def __init__(self, overrides: Mapping[str, Any]) -> None:
        super().__init__(Settings, tables(overrides))

    def given(self) -> dict[str, Given]:
        return {
            key: Given(_frozen(value), f"option {OPTIONS.get(key, key)}", typed=False)
            for key, value in _flat(self())
        }


def tables(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"server.port": 1}` as `{"server": {"port": 1}}`."""
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


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _items(text: str) -> Any:
    """The items of a list in a variable: JSON, or separated by commas."""
    if text.lstrip().startswith("["):
        try:
            return _frozen(json.loads(text))
        except ValueError:
            return text
    return tuple(item.strip() for item in text.split(",") if item.strip())
