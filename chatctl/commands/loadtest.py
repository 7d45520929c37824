"""chatctl loadtest"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from chatctl.client.network import NetworkMisconfigured
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json, print_table
from loadtest import faults, launch, reports, slo
from loadtest.bench import report as bench_report
from loadtest.bench.cases import CASES_HELP, DEFAULT_CASES, Outcome, is_case, run_case
from loadtest.credentials import Credentials
from loadtest.faults import Inflicting
from loadtest.free_port import free_port
from loadtest.launch import Launch, LaunchFailed
from loadtest.local_server import LocalServer, ServerFailed, is_alive, local_server
from loadtest.plan import SCENARIOS, Scenario, warmup_of
from loadtest.progress import Progress
from loadtest.reports.live import LiveView
from loadtest.reports.table import print_result
from loadtest.result import Result

INSTALL = "pip install 'chatctl[loadtest]'"

_STANDARD_OUTPUT = Path("-")
_FASTEST_SPAWN = 100.0  # Locust's own limit for each process
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}

app = command_app(
    "Prove it under load, with a ledger of every message.",
    examples("chatctl loadtest list", "chatctl loadtest run fanout --serve"),
)


@app.command(
    "list",
    epilog=examples("chatctl loadtest list", "chatctl loadtest list --json | jq '.[].name'"),
)
def list_scenarios(as_json: Json = False) -> None:
    """List the scenarios: what each proves, and its defaults."""
    scenarios = [
        {
            "name": scenario.name,
            "proves": scenario.proves,
            "invariants": list(scenario.invariants),
            "users": scenario.users,
            "devices": scenario.devices,
            "rate": scenario.rate,
            "duration": scenario.duration,
        }
        for scenario in SCENARIOS.values()
    ]
    if as_json:
        print_json(scenarios)
        return
    rows = [
        (one["name"], one["users"], one["devices"], one["rate"], one["duration"], one["proves"])
        for one in scenarios
    ]
    print_table(("scenario", "users", "devices", "messages/s", "seconds", "proves"), rows)


@app.command(
    "run",
    epilog=examples(
        "chatctl loadtest run fanout --serve",
        "chatctl loadtest run fanout --users 20 --devices 3 --duration 10",
        "chatctl loadtest run ack --serve --rate 500 --duration 2m --slo 'ack_p99<50ms' --html report.html",
        "chatctl loadtest run fanout --serve --processes 2 --json - | jq .latency_ms",
        "chatctl loadtest run faults --serve",
    ),
)
def run(
    scenario: Annotated[str, typer.Argument(help="One of those that `chatctl loadtest list` shows.")],
    users: Annotated[int | None, typer.Option(min=1, help="Users, each with a conversation.")] = None,
    spawn_rate: Annotated[float | None, typer.Option(min=0.1, help="Users started each second.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Devices of each user.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Messages/s of all users together.")] = None,
    duration: Annotated[
        str | None, typer.Option(help="Measured time: 5, 5s, 2m. Warm-up comes on top.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Generator processes.")] = 1,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's web UI; Ctrl-C ends it.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Start a server for this run.")] = False,
    objectives: Annotated[
        list[str] | None, typer.Option("--slo", help="An objective, as 'ack_p99<50ms'; repeatable.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report to look at.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON; - is standard output.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the run second by second.")] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="CHATCTL_TOKEN", help="A JWT: all connect as the user it is made for.", show_default=False
        ),
    ] = "",
    jwt_secret: Annotated[
        str,
        typer.Option(
            envvar="CHATCTL_JWT_SECRET",
            help="The server's auth.jwt_secret: each user gets a token of its own.",
            show_default=False,
        ),
    ] = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Put load on a server and check every message: sent, ACKed, stored, seen by each device.

    What is left out has the scenario's default. Exit code 0: passed; 1: a message was lost, doubled,
    reordered or a ghost, or an objective was missed; 3: the run was not valid.
    """
    chosen = _scenario(scenario)
    wanted = users or chosen.users
    measured = _seconds(duration) if duration else chosen.duration
    _check_request(wanted, processes, [html, json, csv])
    _check_objectives(objectives or [], measured)
    if chosen.faults:
        _check_faults(chosen, measured, serve)
    settings = Launch(
        scenario=chosen.name,
        url=url.rstrip("/"),
        users=wanted,
        spawn_rate=spawn_rate or min(wanted, _FASTEST_SPAWN),
        devices=devices or chosen.devices,
        rate=rate or chosen.rate,
        duration=measured,
        processes=processes,
        slos=objectives or [],
        credentials=_credentials(api_key, token, jwt_secret),
        web_port=free_port() if web else None,
    )
    result = _run(settings, chosen if serve else None)
    _report(result, html, json, csv)
    raise typer.Exit(result.exit_code)


@app.command(
    "bench",
    epilog=examples(
        "chatctl loadtest bench",
        "chatctl loadtest bench --cases D3,rate5000 --runs 5",
        "chatctl loadtest bench --json | jq .cases.D3.figures.msgs_s",
    ),
)
def bench(
    cases: Annotated[str, typer.Option(help=f"Comma-separated. {CASES_HELP}.")] = ",".join(DEFAULT_CASES),
    seconds: Annotated[float, typer.Option(min=0.1, help="Measured time of each run.")] = 3.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each case; the medians are told.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure what the whole server does on this machine.

    Each run starts a server of its own on an empty SQLite database in TMPDIR. CPU and KiB are the
    server's, for each message or connection. Exit code 1 when a message was lost, doubled, reordered or
    refused.
    """
    names = [name.strip() for name in cases.split(",")]
    for name in names:
        if not is_case(name):
            raise CommandError(f"--cases: no such case: {name} ({CASES_HELP})", exit_code=MISUSED)
    outcomes = _benched(names, seconds, runs)
    document = bench_report.document(outcomes, seconds)
    if as_json:
        print_json(document)
    else:
        _print_bench(document)
    if any(outcome.faults for of_case in outcomes.values() for outcome in of_case):
        raise typer.Exit(FAILED)


def _benched(names: Sequence[str], seconds: float, runs: int) -> dict[str, list[Outcome]]:
    """The cases in turn, and that `runs` times: what slows the machine for a while meets all of them."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    try:
        for _ in range(runs):
            for name in names:
                outcomes[name].append(run_case(name, seconds))
    except (ServerFailed, TimeoutError) as error:
        raise CommandError(f"the benchmark failed: {error or 'the server lets nobody in'}") from error
    return outcomes


def _print_bench(document: dict[str, Any]) -> None:
    machine, settings = document["machine"], document["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    )
    print(packages)
    print(settings["server"])
    in_flight = f"{settings['in_flight_per_conversation']} messages in flight in each"
    print(f"{settings['conversations']} conversations, {in_flight}")
    print(f"medians of {settings['runs']} runs of {settings['seconds']:g} s")
    print_table(bench_report.HEAD, bench_report.rows(document))


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        near = get_close_matches(name, SCENARIOS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCENARIOS)}"
        raise CommandError(f"no such scenario: {name}; {hint}", exit_code=MISUSED)
    return SCENARIOS[name]


def _seconds(duration: str) -> float:
    match = _DURATION.fullmatch(duration.strip())
    if match is None or not float(match[1]):
        raise CommandError(f"--duration {duration}: write it as 5, 5s or 2m", exit_code=MISUSED)
    return float(match[1]) * _SECONDS[match[2]]


def _credentials(api_key: str, token: str, jwt_secret: str) -> Credentials:
    if token and jwt_secret:
        raise CommandError("--token and --jwt-secret exclude each other", exit_code=MISUSED)
    credentials = Credentials(api_key, token, jwt_secret)
    try:
        credentials.user_id("")
    except ValueError as error:
        raise CommandError(f"--token: {error}", exit_code=MISUSED) from None
    return credentials


def _check_request(users: int, processes: int, files: Sequence[Path | None]) -> None:
    """Everything that can be known to be wrong before the load starts."""
    if not launch.is_installed():
        raise CommandError(f"Locust is not installed: {INSTALL}", exit_code=MISUSED)
    if processes > users:
        raise CommandError(f"--processes {processes}: more than the {users} users", exit_code=MISUSED)
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise CommandError(f"there is no folder {file.parent}", exit_code=MISUSED)
        if file is not None and (file.is_dir() or not os.access(file.absolute().parent, os.W_OK)):
            raise CommandError(f"cannot write {file}", exit_code=MISUSED)


def _check_objectives(objectives: Sequence[str], duration: float) -> None:
    try:
        wanted = [slo.parse(objective) for objective in objectives]
    except slo.SLOError as error:
        raise CommandError(f"--slo: {error}", exit_code=MISUSED) from error
    for each in wanted:
        if each.is_growth and duration < slo.GROWTH_SECONDS:
            text = f"--slo '{each.expression}': growth is judged from --duration {slo.GROWTH_SECONDS:g} on"
            raise CommandError(text, exit_code=MISUSED)


def _check_faults(scenario: Scenario, duration: float, serve: bool) -> None:
    if not serve:
        raise CommandError(f"{scenario.name}: add --serve, for it kills the server", exit_code=MISUSED)
    needed = faults.seconds_of(faults.round_of(scenario.server))
    if duration < needed:
        text = f"--duration {duration:g}: one round of faults may take {needed:g} seconds"
        raise CommandError(text, exit_code=MISUSED)


def _run(settings: Launch, serve_for: Scenario | None) -> Result:
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


def _report(result: Result, html: Path | None, json: Path | None, csv: Path | None) -> None:
    to_stdout = json == _STANDARD_OUTPUT
    for path, render in ((html, reports.to_html), (json, reports.to_json), (csv, reports.to_csv)):
        if path == _STANDARD_OUTPUT:
            print(render(result))
        elif path is not None:
            path.write_text(render(result), encoding="utf-8")
            print(f"wrote {path}", file=sys.stderr)
    print_result(result, Console(stderr=to_stdout, highlight=False))
