"""How a value is shown to people: on one line of printable text, without secrets."""

import json
import re
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, SecretStr

from server.settings.schema import SECRET_KEYS, Settings, keys

MASK = "********"
MAX_SHOWN = 100
_KNOWN_KEYS = frozenset(keys())

_secret_name = re.compile(r"secret|key|token|passw", re.I).search
_credentials = re.compile(r"://.*@", re.S)
_secret_parameter = re.compile(r"((?:password|secret|token|key)=)[^&\s]+", re.I)


def described(settings: Settings, key: str) -> str:
    """Return key, value and origin in one line, as every fault and warning begins."""
    return f"{key} = {shown(key, settings.value_of(key))} ({settings.origin_of(key)})"


def shown(key: str, value: Any) -> str:
    """Return the value of `section.key` as a line of JSON: masked if it is secret, cut if it is long."""
    text = json.dumps(masked(key, value), default=str)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def masked(key: str, value: Any) -> Any:
    """Return the value of `section.key` as plain data, without its secrets."""
    plain = _plain(value)
    return MASK if _holds_a_secret(key) and plain not in ("", []) else plain


def _holds_a_secret(key: str) -> bool:
    """A misspelt name (`auth.jwt_secert = ...`) gives no secret away either."""
    name = key.partition("[")[0]
    if name in _KNOWN_KEYS:
        return name in SECRET_KEYS
    return bool(_secret_name(name) or get_close_matches(name, SECRET_KEYS, n=1, cutoff=0.7))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value() and MASK
    if isinstance(value, str):
        return _secret_parameter.sub(rf"\1{MASK}", _credentials.sub(f"://{MASK}@", value))
    if isinstance(value, BaseModel):
        return {name: _plain(item) for name, item in value}
    if isinstance(value, dict):
        return {name: _item(name, item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _item(name: str, value: Any) -> Any:
    """Mask a key that stands in a table of other things; `max_tokens = 100` is none."""
    return MASK if isinstance(value, str) and value and _secret_name(name) else _plain(value)
