"""chatctl db status, upgrade"""

import asyncio
from pathlib import Path
from typing import Annotated

import apsw
import typer

from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import Config, Json, command_app, examples
from chatctl.output import print_done
from chatctl.settings import settings_of
from server.ports import StoreUnavailable
from server.settings import Settings, shown
from server.store.file_lock import DatabaseInUse
from server.store.sqlite_schema import MIGRATIONS, SchemaTooNew, read_version
from server.wiring import make_store

NEWEST = len(MIGRATIONS)

Store = Annotated[
    str | None,
    typer.Option("--store", help="The database's URL.", show_default="store.url of the configuration"),
]

app = command_app(
    "Tell or upgrade the version of the database's schema.",
    examples("chatctl db status", "chatctl db upgrade"),
)


@app.command(epilog=examples("chatctl db status", "chatctl db status --store sqlite:///old.db --json"))
def status(config: Config = None, store: Store = None, as_json: Json = False) -> None:
    """Tell the schema's version. The server may be running."""
    path = _sqlite_file(_settings(config, store))
    if not path.exists():
        raise CommandError(f"{path} does not exist; chatctl serve creates it, and chatctl db upgrade too")
    try:
        version = read_version(path)
    except apsw.Error as fault:
        raise CommandError(f"{path}: {fault}") from None
    report = {"file": str(path), "version": version, "newest": NEWEST}
    print_done(report, f"{path}: schema version {version}, {_verdict(version)}", as_json)


@app.command(epilog=examples("chatctl db upgrade", "chatctl db upgrade --store sqlite:///old.db"))
def upgrade(config: Config = None, store: Store = None, as_json: Json = False) -> None:
    """Bring the schema up to date; `serve` does it by itself for a SQLite file."""
    settings = _settings(config, store)
    _sqlite_file(settings)
    try:
        asyncio.run(_open_and_close(settings))
    except (DatabaseInUse, SchemaTooNew, StoreUnavailable) as fault:
        exit_code = MISUSED if isinstance(fault, DatabaseInUse) else FAILED
        raise CommandError(
            f"store.url = {shown('store.url', settings.store.url)}: {fault}", exit_code=exit_code
        ) from None
    print_done({"version": NEWEST}, f"schema version {NEWEST}, up to date", as_json)


async def _open_and_close(settings: Settings) -> None:
    """To open a store is to upgrade it."""
    store = make_store(settings)
    await store.open()
    await store.close()


def _settings(config: Path | None, store: str | None) -> Settings:
    return settings_of(config, {"store.url": store} if store else {}, insecure=True)


def _sqlite_file(settings: Settings) -> Path:
    url = settings.store.url
    if not url.startswith("sqlite:///"):
        why = "it keeps nothing and has no schema" if url == "memory://" else "PostgreSQL is not built yet"
        raise CommandError(f"store.url = {shown('store.url', url)}: {why}")
    return Path(url.removeprefix("sqlite:///"))


def _verdict(version: int) -> str:
    if version == NEWEST:
        return "up to date"
    return f"this program has {NEWEST}: " + (
        "run chatctl db upgrade" if version < NEWEST else "it is too old"
    )
