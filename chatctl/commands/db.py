"""chatctl db status, upgrade, backup"""

from pathlib import Path
from typing import Annotated

import typer

from chatctl.databases import Database, database_of
from chatctl.options import Config, Json, command_app, examples
from chatctl.output import print_done
from chatctl.settings import settings_of

Store = Annotated[
    str | None,
    typer.Option("--store", help="The database's URL.", show_default="store.url of the configuration"),
]

app = command_app(
    "Look after the database: its schema's version, a backup.",
    examples("chatctl db status", "chatctl db upgrade", "chatctl db backup chat-2026-11-28.db"),
)


@app.command(epilog=examples("chatctl db status", "chatctl db status --store sqlite:///old.db --json"))
def status(config: Config = None, store: Store = None, as_json: Json = False) -> None:
    """Tell the schema's version. The server may be running."""
    database = _database(config, store)
    version = database.version()
    report = {database.kind: database.name, "version": version, "newest": database.newest}
    verdict = _verdict(version, database.newest)
    print_done(report, f"{database.name}: schema version {version}, {verdict}", as_json)


@app.command(epilog=examples("chatctl db upgrade", "chatctl db upgrade --store sqlite:///old.db"))
def upgrade(config: Config = None, store: Store = None, as_json: Json = False) -> None:
    """Bring the schema up to date; `serve` does it by itself for a SQLite file."""
    database = _database(config, store)
    database.upgrade()
    print_done({"version": database.newest}, f"schema version {database.newest}, up to date", as_json)


@app.command(epilog=examples("chatctl db backup chat-2026-11-28.db", "chatctl db backup /mnt/chat.db --json"))
def backup(
    file: Annotated[Path, typer.Argument(help="A file that does not exist yet.", show_default=False)],
    config: Config = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Write a backup of a SQLite database; the server may be running. For PostgreSQL, tell the command."""
    database = _database(config, store)
    database.back_up(file)
    print_done({"file": str(file)}, f"{database.name} is backed up to {file}", as_json)


def _database(config: Path | None, store: str | None) -> Database:
    return database_of(settings_of(config, {"store.url": store} if store else {}, insecure=True))


def _verdict(version: int, newest: int) -> str:
    if version == newest:
        return "up to date"
    return f"this program has {newest}: " + (
        "run chatctl db upgrade" if version < newest else "it is too old"
    )
