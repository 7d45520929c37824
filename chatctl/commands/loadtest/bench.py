"""chatctl loadtest bench"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from chatctl.commands.loadtest.app import app
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import Json, examples
from chatctl.output import print_json, print_table
from loadtest.bench import report as bench_report
from loadtest.bench.cases import CASES_HELP, DEFAULT_CASES, Outcome, is_case, run_case
from loadtest.local_server import ServerFailed


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
