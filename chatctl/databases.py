"""The database that `store.url` names, as the commands about it see it."""

import asyncio
import shlex
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import apsw

from chatctl.failure import FAILED, MISUSED, CommandError
from server.ports import StoreUnavailable
from server.settings import Settings, masked
from server.store import sqlite_schema
from server.store.file_lock import DatabaseInUse
from server.store.schema_faults import SchemaTooNew
from server.store.sqlite import SqliteStore
from server.store.sqlite_backup import back_up

T = TypeVar("T")

NO_DRIVER: Final = "PostgreSQL needs its driver: pip install 'chatctl[cluster]'"


class Database(Protocol):
    """A database with a schema. Methods raise CommandError."""

    kind: str  # what `name` is: "file" or "database"
    name: str
    newest: int  # the version that this program knows

    def version(self) -> int:
        """Reads the schema's version; servers may be running."""
        ...

    def upgrade(self) -> None:
        """Brings the schema up to date."""
        ...

    def back_up(self, file: Path) -> None:
        """Writes a backup to a new file; servers may be running."""
        ...


def database_of(settings: Settings) -> Database:
    """Returns the database of `store.url`. Raises CommandError for one that has no schema."""
    url = settings.store.url
    name = str(masked("store.url", url))
    if url.startswith("sqlite:///"):
        return _SqliteFile(Path(url.removeprefix("sqlite:///")), name)
    if url.startswith("postgresql://"):
        return _Postgres(url, name)
    raise CommandError(f'store.url = "{url}": it keeps nothing and has no schema')


class _SqliteFile:
    kind = "file"
    newest = len(sqlite_schema.MIGRATIONS)

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._url = url
        self.name = str(path)

    def version(self) -> int:
        if not self._path.exists():
            raise CommandError(
                f"{self._path} does not exist; chatctl serve creates it, and chatctl db upgrade too"
            )
        try:
            return sqlite_schema.read_version(self._path)
        except apsw.Error as fault:
            raise CommandError(f"{self._path}: {fault}") from None

    def upgrade(self) -> None:
        _run(self._open_and_close(), self._url)

    def back_up(self, file: Path) -> None:
        if not self._path.exists():
            raise CommandError(f"{self._path} does not exist")
        try:
            back_up(self._path, file)
        except FileExistsError:
            raise CommandError(f"{file} exists already: nothing was written") from None
        except (OSError, apsw.Error) as fault:
            raise CommandError(f"{self._path} to {file}: {getattr(fault, 'strerror', fault)}") from None

    async def _open_and_close(self) -> None:
        """To open a store is to upgrade it."""
        store = SqliteStore(self._path)
        await store.open()
        await store.close()


class _Postgres:
    kind = "database"

    def __init__(self, url: str, name: str) -> None:
        try:
            from server.store.postgres import administration, schema
        except ImportError:
            raise CommandError(NO_DRIVER) from None
        self._administration = administration
        self._url = url
        self.name = name
        self.newest = schema.NEWEST

    def version(self) -> int:
        return _run(self._administration.read_version(self._url), self.name)

    def upgrade(self) -> None:
        _run(self._administration.upgrade(self._url), self.name)

    def back_up(self, file: Path) -> None:
        command = f"pg_dump --format=custom --file={shlex.quote(str(file))} {shlex.quote(self.name)}"
        raise CommandError(f"nothing was written; PostgreSQL has its own command: {command}")


def _run(work: Coroutine[Any, Any, T], url: str) -> T:
    try:
        return asyncio.run(work)
    except (DatabaseInUse, SchemaTooNew, StoreUnavailable) as fault:
        exit_code = MISUSED if isinstance(fault, DatabaseInUse) else FAILED
        raise CommandError(f'store.url = "{url}": {fault}', exit_code=exit_code) from None
