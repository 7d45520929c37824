"""Runs a scenario, against a server of its own where that is wanted, and shows how it goes."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live

from chatctl.client.network import NetworkMisconfigured
from chatctl.failure import MISUSED, CommandError
from loadtest import faults, launch, reports
from loadtest.credentials import Credentials
from loadtest.faults import Inflicting
from loadtest.launch import Launch, LaunchFailed
from loadtest.local_server import LocalServer, ServerFailed, is_alive, local_server
from loadtest.plan import Scenario, warmup_of
from loadtest.progress import Progress
from loadtest.reports.live import LiveView
from loadtest.reports.table import print_result
from loadtest.result import Result

_STANDARD_OUTPUT = Path("-")


def run_load(settings: Launch, serve_for: Scenario | None) -> Result:
    try:
        if serve_for is not None:
            with local_server({**serve_for.server, **_server_auth(settings.credentials)}) as own:
                return _run_on_own(own, replace(settings, url=own.url), serve_for)
        if not is_alive(settings.url):
            raise LaunchFailed(f"no chat server answers at {settings.url}: start one, or add --serve")
        return _watched(settings)
    except (LaunchFailed, ServerFailed) as error:
        return launch.nothing_ran(settings, str(error))
    except NetworkMisconfigured as error:
        raise CommandError(str(error), exit_code=MISUSED) from None


def _server_auth(credentials: Credentials) -> dict[str, str]:
    """The settings of a server of our own that wants what the users have."""
    return {"CHAT_AUTH__JWT_SECRET": credentials.jwt_secret} if credentials.jwt_secret else {}


def _run_on_own(server: LocalServer, settings: Launch, scenario: Scenario) -> Result:
    if not scenario.faults:
        return _watched(settings)
    inflicting = Inflicting(server, faults.round_of(scenario.server), _seconds_in_all(settings))
    try:
        result = _watched(settings, inflicting.follow)
    finally:
        inflicting.finish()
    result.add_checks(inflicting.checks)
    return result


def _seconds_in_all(settings: Launch) -> float:
    return warmup_of(settings.users, settings.spawn_rate) + settings.duration


def _watched(settings: Launch, tell: Callable[[Progress], None] = lambda progress: None) -> Result:
    """Runs it, with a live view where somebody sees it. `tell` hears of each second."""
    view = LiveView(f"{settings.scenario} on {settings.url}", _seconds_in_all(settings))

    def follow(progress: Progress) -> None:
        tell(progress)
        view.update(progress)

    console = Console(stderr=True)
    if settings.web_port is not None:
        print(f"Locust's web UI: http://127.0.0.1:{settings.web_port} (Ctrl-C ends)", file=sys.stderr)
    with (
        Live(view, console=console, transient=True, refresh_per_second=4)
        if console.is_terminal
        else nullcontext()
    ):
        return launch.run(settings, follow)


def report(result: Result, html: Path | None, json: Path | None, csv: Path | None) -> None:
    to_stdout = json == _STANDARD_OUTPUT
    for path, render in ((html, reports.to_html), (json, reports.to_json), (csv, reports.to_csv)):
        if path == _STANDARD_OUTPUT:
            print(render(result))
        elif path is not None:
            path.write_text(render(result), encoding="utf-8")
            print(f"wrote {path}", file=sys.stderr)
    print_result(result, Console(stderr=to_stdout, highlight=False))
