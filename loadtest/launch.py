"""A Locust process run from outside, since Locust patches the process that imports it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from loadtest.credentials import Credentials, variables_of
from loadtest.free_port import free_port
from loadtest.plan import Settings, warmup_of
from loadtest.progress import Progress
from loadtest.result import Result

_SCENARIOS: Final = Path(__file__).parent / "scenarios"


class LaunchFailed(Exception):
    """Locust came to no result; the message is its own last line."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. Rates are messages per second of all users, times are seconds."""

    scenario: str
    url: str
    users: int
    spawn_rate: float
    devices: int
    rate: float
    duration: float
    processes: int
    slos: list[str]
    credentials: Credentials = field(default_factory=Credentials)
    web_port: int | None = None
    nodes: tuple[str, ...] = ()
    service: str | None = None


def is_installed() -> bool:
    """Whether Locust and what else the extra `loadtest` brings is there."""
    return find_spec("locust") is not None and find_spec("hdrh") is not None


def run(launch: Launch, tell: Callable[[Progress], None]) -> Result:
    """Runs the scenario to its end, told of each second. A KeyboardInterrupt ends it early, with a result.

    Raises:
        LaunchFailed: Locust failed.
    """
    with tempfile.TemporaryDirectory(prefix="chatctl-loadtest-") as folder:
        report, log = Path(folder) / "result.json", Path(folder) / "locust.log"
        with log.open("w") as stderr, _locust(launch, report, stderr) as (process, lines):
            _follow(process, lines, tell)
        if not report.exists():
            raise LaunchFailed(f"the load generator failed: {_last_line(log)}")
        return Result.model_validate_json(report.read_text(encoding="utf-8"))


def nothing_ran(launch: Launch, reason: str) -> Result:
    """The result of a run that came to nothing."""
    from loadtest import verdict  # imports what only the extra `loadtest` installs

    settings = Settings(
        scenario=launch.scenario,
        url=launch.url,
        users=launch.users,
        spawn_rate=launch.spawn_rate,
        devices=launch.devices,
        rate=launch.rate,
        warmup=warmup_of(launch.users, launch.spawn_rate),
        duration=launch.duration,
        processes=launch.processes,
        run_id="",
    )
    return verdict.of_nothing(settings, launch.slos, reason)


@contextmanager
def _locust(
    launch: Launch, report: Path, stderr: IO[str]
) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """The process, in a session of its own: Ctrl-C reaches its master through us, and its workers never."""
    reader, writer = os.pipe()
    environment = os.environ | variables_of(launch.credentials)
    process = subprocess.Popen(
        [*_command(launch, report), "--progress-fd", str(writer)],
        pass_fds=[writer],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8") as lines:
            yield process, lines
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _command(launch: Launch, report: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "locust", "-f", str(_SCENARIOS / f"{launch.scenario}.py")),
        *("--host", launch.url, "--users", str(launch.users), "--spawn-rate", str(launch.spawn_rate)),
        *("--devices", str(launch.devices), "--rate", str(launch.rate), "--duration", str(launch.duration)),
        *("--report", str(report), "--loglevel", "WARNING", "--only-summary"),
        *(argument for node in launch.nodes for argument in ("--node", node)),
        *(("--service", launch.service) if launch.service else ()),
        *(argument for slo in launch.slos for argument in ("--slo", slo)),
        *_distribution(launch.processes),
        *_face(launch.web_port),
    ]


def _distribution(processes: int) -> list[str]:
    if processes == 1:
        return []
    port = str(free_port())
    return ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]


def _face(web_port: int | None) -> list[str]:
    if web_port is None:
        return ["--headless"]
    return ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(web_port)]


def _follow(process: subprocess.Popen[bytes], lines: IO[str], tell: Callable[[Progress], None]) -> None:
    """Reads until Locust ends. The first interrupt lets it come to a result, the second one kills it."""
    interrupted = False
    while True:
        try:
            for line in lines:
                tell(Progress.model_validate_json(line))
            process.wait()
            return
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            process.send_signal(signal.SIGINT)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
