"""chatctl loadtest run"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from chatctl.commands.loadtest.app import app
from chatctl.commands.loadtest.asked import (
    check_objectives,
    check_request,
    check_stage,
    credentials_of,
    scenario_named,
    seconds_of,
)
from chatctl.commands.loadtest.options import (
    Devices,
    Duration,
    JwtSecret,
    Objectives,
    Processes,
    Serve,
    Token,
    Users,
    launch_of,
)
from chatctl.commands.loadtest.running import report, run_load
from chatctl.options import DEFAULT_URL, ApiKey, Url, examples
from loadtest.free_port import free_port


@app.command(
    "run",
    epilog=examples(
        "chatctl loadtest run fanout --serve",
        "chatctl loadtest run fanout --users 20 --devices 3 --duration 10",
        "chatctl loadtest run ack --serve --rate 500 --duration 2m --slo 'ack_p99<50ms' --html report.html",
        "chatctl loadtest run fanout --serve --processes 2 --json - | jq .latency_ms",
        "chatctl loadtest run faults --serve",
        "chatctl loadtest run webhook --serve",
        "chatctl loadtest run cluster --serve --nodes 3",
    ),
)
def run(
    scenario: Annotated[str, typer.Argument(help="One of those that `chatctl loadtest list` shows.")],
    users: Users = None,
    spawn_rate: Annotated[float | None, typer.Option(min=0.1, help="Users started each second.")] = None,
    devices: Devices = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Messages/s of all users together.")] = None,
    duration: Duration = None,
    processes: Processes = 1,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's web UI; Ctrl-C ends it.")] = False,
    serve: Serve = False,
    nodes: Annotated[
        int | None, typer.Option(min=2, help="Scenario cluster: nodes to start.", show_default="3")
    ] = None,
    service_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Scenario webhook without --serve: where the AI service listens."
        ),
    ] = None,
    objectives: Objectives = None,
    html: Annotated[Path | None, typer.Option(help="Write a report to look at.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON; - is standard output.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the run second by second.")] = None,
    token: Token = "",
    jwt_secret: JwtSecret = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Put load on a server and check every message: sent, ACKed, stored, seen by each device.

    What is left out has the scenario's default. Exit code 0: passed; 1: a message was lost, doubled,
    reordered or a ghost, or an objective was missed; 3: the run was not valid.
    """
    chosen = scenario_named(scenario)
    measured = seconds_of(duration) if duration else chosen.duration
    credentials = credentials_of(api_key, token, jwt_secret)
    settings = launch_of(
        chosen, url, users, devices, rate, measured, processes, objectives or [], credentials
    )
    check_request(settings.users, processes, [html, json, csv])
    check_objectives(objectives or [], measured)
    check_stage(chosen, measured, serve, service_port)
    settings = replace(
        settings,
        spawn_rate=spawn_rate or settings.spawn_rate,
        web_port=free_port() if web else None,
    )
    result = run_load(settings, chosen, serve, service_port, nodes)
    report(result, html, json, csv)
    raise typer.Exit(result.exit_code)
