"""config.toml with a comment on every key, made from the schema."""

import json
from textwrap import wrap
from typing import Any

from pydantic import BaseModel, SecretStr

from server.settings import SECTIONS, Settings, note

WIDTH = 110
HEADER = """\
# Settings of chatctl. Every key is here, with its default unless somebody changed it.
# Environment variables win over this file (CHAT_SERVER__PORT=9000), command-line options over both.
"""


def config_toml(settings: Settings) -> str:
    """Return the text of a config.toml with these values, secrets in plain: that is what the file is for."""
    return HEADER + "".join(_table(settings, section) for section in SECTIONS)


def _table(settings: Settings, section: str) -> str:
    model = SECTIONS[section]
    lines = ["", _comment(model.__doc__ or ""), f"[{section}]"]
    for name, field in model.model_fields.items():
        value = getattr(getattr(settings, section), name)
        manual = f"{field.description or ''} {note(f'{section}.{name}')}"
        lines += [_comment(manual), f"{name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in wrap(text, WIDTH - 2))


def _toml(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
