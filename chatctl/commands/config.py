"""chatctl config show, check, init"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from chatctl.config_file import config_toml
from chatctl.failure import CommandError
from chatctl.options import Config, Json, command_app, examples
from chatctl.output import print_json, print_table, warn
from chatctl.settings import settings_of
from server.settings import Settings, keys, masked, shown, warnings

app = command_app(
    "Show, check or write the configuration.",
    examples("chatctl config init", "chatctl config check", "chatctl config show"),
)


@app.command(epilog=examples("chatctl config show", "CHAT_SERVER__PORT=9000 chatctl config show --json"))
def show(config: Config = None, as_json: Json = False) -> None:
    """Show the settings in force and where each came from. Secrets are masked."""
    settings = settings_of(config, insecure=True)
    if as_json:
        print_json([_entry(settings, key) for key in keys()])
    else:
        rows = [(key, shown(key, settings.value_of(key)), settings.origin_of(key)) for key in keys()]
        print_table(("key", "value", "from"), rows)


def _entry(settings: Settings, key: str) -> dict[str, Any]:
    return {"key": key, "value": masked(key, settings.value_of(key)), "origin": settings.origin_of(key)}


@app.command(epilog=examples("chatctl config check", "chatctl config check --config /etc/chat.toml"))
def check(
    config: Config = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a public address without JWT and API keys.")
    ] = False,
) -> None:
    """Check the configuration: a line for each fault, and exit code 2 when there is one."""
    settings = settings_of(config, insecure=insecure)
    for line in warnings(settings):
        warn(f"warning: {line}")
    print("The configuration is valid.")


@app.command(epilog=examples("chatctl config init", "chatctl config init /etc/chat.toml --force"))
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("config.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a config.toml with every setting, its default and what it does."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        # Readable by the owner only: keys and secrets are going to stand in it.
        with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as stream:
            stream.write(config_toml(Settings()))
    except FileExistsError:
        raise CommandError(f"{file} exists; --force writes over it") from None
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from None
    print(f"Wrote {file}.")
