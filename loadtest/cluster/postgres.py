"""A PostgreSQL on a free port, with its data in a folder of its own."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from loadtest.cluster.programs import ServiceFailed, wait_until
from loadtest.free_port import free_port

START_SECONDS: Final = 30
_INITDB: Final = ("-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "-N")


class Postgres:
    """May be stopped, killed and started again. Its superuser `postgres` needs no password.

    `settings`: further ones of PostgreSQL's. Raises ServiceFailed where it cannot be set up.
    """

    def __init__(self, folder: Path, programs: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._programs = programs
        self._settings = settings
        self.owner = unprivileged()
        self.port = free_port()
        self.process: subprocess.Popen[bytes]
        self.run("initdb", *_INITDB)

    def start(self) -> None:
        """Return once it takes connections. Raises ServiceFailed."""
        fixed = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(self.port)}
        options = [f"-c{name}={value}" for name, value in (fixed | dict(self._settings)).items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for whoever started it
                **self.owner,
            )
        wait_until(self._is_ready, START_SECONDS, "PostgreSQL did not start in time")

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT ends its connections and shuts down cleanly, SIGQUIT ends it at once as a crash would."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(START_SECONDS)

    def restart(self, number: int = signal.SIGINT) -> None:
        self.stop(number)
        self.start()

    @property
    def pids(self) -> list[int]:
        """Its processes, the one that starts the others first; that one alone where there is no /proc."""
        return [self.process.pid, *children_of(self.process.pid)]

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        """`port`: that of a proxy before it."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs; what it printed. Raises ServiceFailed."""
        command = [str(self._programs / program), *arguments]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self.owner
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise ServiceFailed(f"{program}: {lines[-1] if lines else done.returncode}")
        return done.stdout

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
            raise ServiceFailed(f"PostgreSQL did not start: {lines[-1] if lines else 'it said nothing'}")
        is_ready = [str(self._programs / "psql"), "-XAtqc", "SELECT 1", self.url()]
        return subprocess.run(is_ready, capture_output=True, check=False).returncode == 0


def children_of(pid: int) -> list[int]:
    """Find a process's children, as far as there is a /proc."""
    found = []
    for stat_file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat_file.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat_file.parent.name))
    return found


@contextmanager
def folder_for_postgres(programs: Path) -> Iterator[tuple[Path, Path]]:
    """Make a folder, thrown away in the end, and give it with the programs where they can be run from."""
    owner = unprivileged()
    place = "/var/tmp" if owner else None  # noqa: S108  # a root's folder may lie where nobody may go
    with tempfile.TemporaryDirectory(
        prefix="chat-postgres-",
        dir=place,
        ignore_cleanup_errors=True,  # what is in it may be of another user
    ) as name:
        folder = Path(name)
        if owner:
            programs = _reachable(programs, folder)
            os.chown(folder, owner["user"], owner["group"])
        yield folder, programs


def unprivileged() -> dict[str, Any]:
    """Tell Popen whom to run it as: PostgreSQL refuses to be root's."""
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
