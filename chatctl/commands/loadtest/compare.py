"""chatctl loadtest compare"""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from chatctl.commands.loadtest.app import app
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import Json, examples
from chatctl.output import print_json, print_table
from loadtest.comparison import Row, compare, document
from loadtest.result import Result

NOT_VALID = 3
_PERCENT = "%"


def _tolerance(text: str) -> float:
    try:
        value = float(text.strip().removesuffix(_PERCENT))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise CommandError(f"--tolerance {text}: write it as 10 or 10%", exit_code=MISUSED)
    return value


@app.command(
    "compare",
    epilog=examples(
        "chatctl loadtest compare before.json after.json",
        "chatctl loadtest compare before.json after.json --tolerance 5% --json | jq .worse",
    ),
)
def compare_results(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="What `run --json A.json` has written.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The one that is held against it.")],
    tolerance: Annotated[str, typer.Option(help="How much worse is no worse.")] = "10%",
    as_json: Json = False,
) -> None:
    """Hold one result against another.

    A change is noise where it is no larger than what the seconds of both runs differ by chance. Exit code 1:
    a figure of B is worse than the tolerance and the noise, or a fault is new; 3: a run was not valid.
    """
    percent = _tolerance(tolerance)
    first, second = _read(a), _read(b)
    if first.scenario != second.scenario:
        raise CommandError(f"{a} is of {first.scenario}, {b} of {second.scenario}", exit_code=MISUSED)
    rows = compare(first, second, percent)
    if as_json:
        print_json(document(str(a), str(b), percent, rows))
    else:
        print_table(("", "A", "B", "change", "noise", ""), map(_cells, rows))
    for path, result in ((a, first), (b, second)):
        if not result.valid:
            raise CommandError(f"{path}: not valid: {result.invalid_because[0]}", exit_code=NOT_VALID)
    if any(row.judgement == "worse" for row in rows):
        raise typer.Exit(FAILED)


def _read(path: Path) -> Result:
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", exit_code=MISUSED) from None
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        where = f" ({field}: {error.errors()[0]['msg']})" if field else ""
        text = f"{path} is no result of this version's loadtest run --json{where}"
        raise CommandError(text, exit_code=MISUSED) from None


def _cells(row: Row) -> tuple[object, ...]:
    unit = f" {row.unit}" if row.unit == "ms" else row.unit
    change = None if row.change is None else f"{row.change:+.1f}%"
    noise = None if row.noise is None else f"±{row.noise:.1f}%"
    return f"{row.metric}{f' [{unit.strip()}]' if unit else ''}", row.a, row.b, change, noise, row.judgement
