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
from loadtest import launch, reports
from loadtest.cluster.programs import ServiceFailed
from loadtest.launch import Launch, LaunchFailed
from loadtest.local_server import ServerFailed
from loadtest.plan import Scenario, warmup_of
from loadtest.progress import Progress
from loadtest.reports.live import LiveView
from loadtest.reports.table import print_result
from loadtest.result import Result
from loadtest.stages import given_stage, own_stage

_STANDARD_OUTPUT = Path("-")


def run_load(
    settings: Launch,
    scenario: Scenario,
    serve: bool,
    service_port: int | None = None,
    nodes: int | None = None,
) -> Result:
    """Run it where it takes place.

    `service_port`: where a given server expects its AI service. `nodes`: of a cluster of our own.
    """
    place = own_stage(scenario, settings, nodes) if serve else given_stage(scenario, settings, service_port)
    try:
        with place as stage:
            result = _watched(
                replace(settings, url=stage.url, nodes=stage.nodes, service=stage.service), stage.follow
            )
        result.add_checks(stage.checks)
        return result
    except ServiceFailed as error:
        raise CommandError(str(error), exit_code=MISUSED) from None
    except (LaunchFailed, ServerFailed) as error:
        return launch.nothing_ran(settings, str(error))
    except NetworkMisconfigured as error:
        raise CommandError(str(error), exit_code=MISUSED) from None


def _seconds_in_all(settings: Launch) -> float:
    return warmup_of(settings.users, settings.spawn_rate) + settings.duration


def _watched(settings: Launch, tell: Callable[[Progress], None]) -> Result:
    """Run it, with a live view where somebody sees it. `tell` hears of each second."""
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
