"""The benchmark as a document, and as a table."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from loadtest.bench.cases import CONVERSATIONS, IN_FLIGHT, Outcome
from loadtest.machine import describe_machine

_COLUMNS: Final = {
    "msgs_s": "messages/s",
    "cpu_us_msg": "CPU us each",
    "postgres_us_msg": "PostgreSQL us",
    "valkey_us_msg": "Valkey us",
    "ack_p50_ms": "ACK p50 ms",
    "ack_p99_ms": "p99",
    "delivery_p99_ms": "delivery p99 ms",
    "elsewhere_p99_ms": "other nodes p99 ms",
    "accepts_s": "accepts/s",
    "kib_per_connection": "KiB each",
}

# A generator this busy is what was measured.
_BUSY: Final = 90.0


def document(runs: dict[str, list[Outcome]], seconds: float, store: str = "SQLite") -> dict[str, Any]:
    """Machine, settings, and for each case the medians of its runs, all runs, and notes."""
    return {
        "machine": describe_machine(),
        "settings": {
            "server": "chatctl serve with its defaults but wide limits: " + store + ", durability full",
            "conversations": CONVERSATIONS,
            "in_flight_per_conversation": IN_FLIGHT,
            "seconds": seconds,
            "runs": max((len(outcomes) for outcomes in runs.values()), default=0),
        },
        "cases": {
            name: {
                "figures": medians([outcome.figures for outcome in outcomes]),
                "runs": [_rounded(outcome.figures) for outcome in outcomes],
                "notes": list(notes(outcomes)),
            }
            for name, outcomes in runs.items()
        },
    }


def medians(figures: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Of each figure over the runs; None where no run has it."""
    known = {name: [run[name] for run in figures] for name in figures[0]}
    return _rounded({name: _median(values) for name, values in known.items()})


def notes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What takes away from the figures."""
    for kind in sorted({kind for outcome in outcomes for kind in outcome.faults}):
        yield f"{kind}: {sum(outcome.faults[kind] for outcome in outcomes)}"
    busiest = max(outcome.generator_cpu for outcome in outcomes)
    if busiest > _BUSY:
        yield f"the generator used {busiest:.0f}% of a CPU: the server can do more"


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else float(f"{value:.4g}") for name, value in figures.items()}


def table(bench: dict[str, Any]) -> tuple[list[str], list[list[float | str | None]]]:
    """The head, with the figures that there are, and a row for each case."""
    known = {name for case in bench["cases"].values() for name in case["figures"]}
    columns = [name for name in _COLUMNS if name in known]
    rows = [
        [name, *(case["figures"].get(column) for column in columns), "; ".join(case["notes"])]
        for name, case in bench["cases"].items()
    ]
    return ["case", *(_COLUMNS[name] for name in columns), "notes"], rows
