"""chatctl loadtest capacity"""

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from chatctl.commands.loadtest.app import app
from chatctl.commands.loadtest.asked import (
    check_objectives,
    check_request,
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
from chatctl.commands.loadtest.running import run_load
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, examples
from chatctl.output import print_json, print_table, warn
from loadtest.capacity import Search
from loadtest.launch import Launch
from loadtest.plan import Scenario
from loadtest.result import Result

NOT_VALID = 3
DEFAULT_OBJECTIVE = "ack_p99<100ms"
DEFAULT_SECONDS = 10.0

Of = Literal["rate", "devices"]
Try = dict[str, Any]


@app.command(
    "capacity",
    epilog=examples(
        "chatctl loadtest capacity fanout --serve",
        "chatctl loadtest capacity ack --serve --slo 'ack_p99<20ms' --duration 30s",
        "chatctl loadtest capacity fanout --of devices --url http://127.0.0.1:8000 --json",
    ),
)
def capacity(
    scenario: Annotated[str, typer.Argument(help="One of those that `chatctl loadtest list` shows.")],
    of: Annotated[Of, typer.Option("--of", help="What is raised: messages/s, or devices.")] = "rate",
    start: Annotated[
        float | None, typer.Option(min=1, help="The first try.", show_default="the scenario's")
    ] = None,
    most: Annotated[float, typer.Option(min=1, help="Where to stop raising it.")] = 100_000,
    users: Users = None,
    devices: Devices = None,
    duration: Duration = None,
    processes: Processes = 1,
    serve: Serve = False,
    objectives: Objectives = None,
    token: Token = "",
    jwt_secret: JwtSecret = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Find the highest rate, or number of devices, at which the objectives hold.

    It is doubled until they do not, then halved in between, to within 10%; each try is a run of --duration
    [10s]. Exit code 0: found; 1: they hold at none; 3: what gave out first was the load generator.
    """
    chosen = scenario_named(scenario)
    if chosen.faults:
        raise CommandError(f"{chosen.name} has no capacity: it kills the server", exit_code=MISUSED)
    seconds = seconds_of(duration) if duration else DEFAULT_SECONDS
    wanted = objectives or [DEFAULT_OBJECTIVE]
    credentials = credentials_of(api_key, token, jwt_secret)
    settings = launch_of(chosen, url, users, devices, None, seconds, processes, wanted, credentials)
    check_request(settings.users, processes, [])
    check_objectives(wanted, seconds)
    first = start or (settings.rate if of == "rate" else float(settings.users * settings.devices))
    search = Search(first, most, least=1.0 if of == "rate" else float(settings.devices))
    tries = _search(search, of, settings, chosen, serve)
    _tell(search, of, tries, wanted, as_json)


def _search(search: Search, of: Of, settings: Launch, scenario: Scenario, serve: bool) -> list[Try]:
    """Run one try after the other. Ends early where a run says nothing of the server."""
    tries: list[Try] = []
    while (value := search.next_try()) is not None:
        result = run_load(_with(settings, of, value), scenario, serve)
        search.tell(value, result.exit_code == 0)
        tries.append(_try(value, result))
        held = "held" if result.passed else f"gave out: {tries[-1]['because']}"
        warn(f"{value:.0f} {_unit(of)}: {held}")
        if not result.valid:
            break
    return tries


def _with(settings: Launch, of: Of, value: float) -> Launch:
    if of == "rate":
        return replace(settings, rate=value)
    users = max(settings.processes, round(value / settings.devices))
    rate = settings.rate * users / settings.users  # each user as busy as before
    return replace(settings, users=users, rate=rate, spawn_rate=min(users, 100.0 * settings.processes))


def _try(value: float, result: Result) -> Try:
    because = [*result.invalid_because, *result.failed_because]
    return {
        "value": round(value, 2),
        "held": result.passed,
        "valid": result.valid,
        "because": because[0] if because else None,
        "send_rate": result.send_rate,
        "ack_p99_ms": result.latency_ms.ack.p99,
        "delivery_p99_ms": result.latency_ms.delivery.p99,
    }


def _tell(search: Search, of: Of, tries: list[Try], objectives: list[str], as_json: bool) -> None:
    gave_out = next((each["because"] for each in reversed(tries) if not each["held"]), None)
    found = None if search.held is None else round(search.held, 2)
    if as_json:
        report = {"of": of, "capacity": found, "gave_out": gave_out, "objectives": objectives, "tries": tries}
        print_json(report)
    else:
        head = (_unit(of), "held", "sent/s", "ACK p99 ms", "delivery p99 ms", "gave out")
        print_table(head, map(_cells, tries))
        most = "none" if found is None else f"{found:.0f} {_unit(of)}"
        print(f"capacity: {most}" + (f"; then gave out: {gave_out}" if gave_out else ""))
    if not tries[-1]["valid"]:
        raise typer.Exit(NOT_VALID)
    if found is None:
        raise typer.Exit(FAILED)


def _cells(each: Try) -> tuple[object, ...]:
    held = "yes" if each["held"] else "no"
    latencies = (each["ack_p99_ms"], each["delivery_p99_ms"])
    return each["value"], held, each["send_rate"], *latencies, each["because"]


def _unit(of: Of) -> str:
    return "messages/s" if of == "rate" else "devices"
