"""The server's settings, for commands: a fault ends the command with exit code 2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatctl.failure import MISUSED, CommandError
from server.settings import Settings, SettingsError, load_settings


def settings_of(
    config: Path | None, overrides: Mapping[str, Any] | None = None, *, insecure: bool = False
) -> Settings:
    """What the file, the environment and the options give. Raises CommandError with a line for each fault."""
    try:
        return load_settings(config, overrides, insecure=insecure)
    except SettingsError as error:
        raise CommandError(*error.faults, exit_code=MISUSED) from None
