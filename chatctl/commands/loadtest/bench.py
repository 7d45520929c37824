"""chatctl loadtest bench"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from chatctl.commands.loadtest.app import app
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import Json, examples
from chatctl.output import print_json, print_table
from loadtest.bench import report as bench_report
from loadtest.bench.cases import CASES_HELP, DEFAULT_CASES, Outcome, is_case, run_case
from loadtest.cluster.programs import ServiceFailed
from loadtest.local_server import ServerFailed


@app.command(
    "bench",
    epilog=examples(
        "chatctl loadtest bench",
        "chatctl loadtest bench --cases D3,rate5000 --runs 5",
        "chatctl loadtest bench --cases D3,rate1000 --nodes 1,2",
        "chatctl loadtest bench --json | jq .cases.D3.figures.msgs_s",
    ),
)
def bench(
    cases: Annotated[str, typer.Option(help=f"Comma-separated. {CASES_HELP}.")] = ",".join(DEFAULT_CASES),
    seconds: Annotated[float, typer.Option(min=0.1, help="Measured time of each run.")] = 3.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each case; the medians are told.")] = 3,
    nodes: Annotated[
        str, typer.Option(help="Comma-separated numbers of nodes, on PostgreSQL and Valkey started for it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Measure what the whole server does on this machine.

    Each run starts a server of its own on an empty SQLite database in TMPDIR. CPU and KiB are the
    server's, for each message or connection. With --nodes each case runs on so many nodes, the devices of
    a conversation on different ones: P1D3 is one node on PostgreSQL, N2D3 are two with Valkey between.
    Exit code 1 when a message was lost, doubled, reordered or refused.
    """
    names = [name.strip() for name in cases.split(",")]
    for name in names:
        if not is_case(name):
            raise CommandError(f"--cases: no such case: {name} ({CASES_HELP})", exit_code=MISUSED)
    places = _places(nodes)
    outcomes = _benched(names, seconds, runs, places)
    document = bench_report.document(outcomes, seconds, "PostgreSQL" if nodes else "SQLite")
    if as_json:
        print_json(document)
    else:
        _print_bench(document)
    if any(outcome.faults for of_case in outcomes.values() for outcome in of_case):
        raise typer.Exit(FAILED)


def _places(nodes: str) -> dict[str, int | None]:
    """What stands before the name of a case that runs on so many nodes."""
    if not nodes:
        return {"": None}
    try:
        numbers = [int(number) for number in nodes.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise CommandError(f"--nodes {nodes}: numbers from 1 on, with commas between", exit_code=MISUSED)
    return {f"P{number}" if number == 1 else f"N{number}": number for number in numbers}


def _benched(
    names: Sequence[str], seconds: float, runs: int, places: Mapping[str, int | None]
) -> dict[str, list[Outcome]]:
    """The cases in turn, and that `runs` times: what slows the machine for a while meets all of them."""
    outcomes: dict[str, list[Outcome]] = {f"{place}{name}": [] for place in places for name in names}
    try:
        for _ in range(runs):
            for place, nodes in places.items():
                for name in names:
                    outcomes[f"{place}{name}"].append(run_case(name, seconds, nodes=nodes))
    except (ServerFailed, ServiceFailed, TimeoutError) as error:
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
    print_table(*bench_report.table(document))
