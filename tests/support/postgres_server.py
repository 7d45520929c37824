"""A real PostgreSQL for tests, which may ask it and change its databases."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loadtest.cluster.postgres import Postgres, folder_for_postgres
from loadtest.cluster.programs import NO_POSTGRES as ADVICE
from loadtest.cluster.programs import find_postgres as find_programs

__all__ = ["ADVICE", "PostgresServer", "find_programs", "postgres_server"]

# The machine of the tests does not lose its power. A killed server loses nothing by these.
_FASTER: Final = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer(Postgres):
    """A server that tests may stop, kill and start again. Its superuser `postgres` needs no password."""

    def __init__(self, folder: Path, programs: Path, settings: dict[str, str] | None = None) -> None:
        super().__init__(folder, programs, _FASTER if settings is None else settings)
        self._numbers = itertools.count(1)

    @property
    def has_tls(self) -> bool:
        """Whether it was built with it; the wheel was not."""
        return self.sql("SHOW ssl_library") != ""

    def speak_tls(self, key_and_certificate: bytes) -> None:
        """Takes connections by TLS too, from now on. `key_and_certificate`: in PEM."""
        file = self.folder / "tls.pem"
        file.write_bytes(key_and_certificate)
        file.chmod(0o600)
        if self.owner:
            os.chown(file, self.owner["user"], self.owner["group"])
        for name, value in {"ssl_key_file": file, "ssl_cert_file": file, "ssl": "on"}.items():
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")

    def create_database(self) -> str:
        """Create an empty database; its name."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop it together with the connections to it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as superuser; its rows, a line each with | between columns."""
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)).strip()


@contextmanager
def postgres_server(programs: Path, settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """Run a server until the end of the context. `settings` replace the faster ones that tests have."""
    with folder_for_postgres(programs) as (folder, reachable):
        server = PostgresServer(folder, reachable, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
