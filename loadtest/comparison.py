"""Two results side by side: what is better, worse, or within the noise. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import hypot, sqrt
from statistics import stdev
from typing import Any, Final, Literal

from loadtest.ledger import Fault
from loadtest.result import Point, Result

Judgement = Literal["better", "worse", "same", "noise"]
_SIGMAS: Final = 2.0  # beyond so many standard errors chance is no explanation
_FEWEST_SECONDS: Final = 5  # of a run, to know how much its seconds differ

Value = float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both results.

    Attributes:
        change: Of B against A, in percent; None where one of them is missing or A is 0.
        noise: What the change may be by chance, in percent.
        judgement: "same" within the tolerance, "noise" beyond it but by chance; None of what is only told.
    """

    metric: str
    unit: str
    a: Value
    b: Value
    change: float | None
    noise: float | None
    judgement: Judgement | None


@dataclass(frozen=True, slots=True)
class _Figure:
    metric: str
    unit: str
    is_better_low: bool
    of_run: Callable[[Result], Value]
    of_second: Callable[[Point], Value]


def _cpu(point: Point) -> Value:
    return point.server.cpu_percent if point.server else None


def _latency(what: str, percentile: str) -> _Figure:
    return _Figure(
        f"{what}_{percentile}",
        "ms",
        True,
        lambda result: _number(getattr(getattr(result.latency_ms, what), percentile)),
        lambda point: _number(getattr(point, f"{what}_{percentile}")),
    )


_JUDGED: Final = (
    *(_latency(what, percentile) for what in ("ack", "delivery") for percentile in ("p50", "p99")),
    _Figure("send_rate", "/s", False, lambda result: result.send_rate, lambda point: float(point.sent)),
    _Figure(
        "delivery_rate",
        "/s",
        False,
        lambda result: result.delivery_rate,
        lambda point: float(point.delivered),
    ),
    _Figure(
        "server_cpu",
        "%",
        True,
        lambda result: _mean([_cpu(point) for point in _measured(result)]),
        _cpu,
    ),
)
_TOLD: Final = (
    *((what, name) for what in ("ack", "delivery") for name in ("p90", "p99_9", "max")),
    *((what, name) for what in ("piece", "silence", "reconnect") for name in ("p50", "p99")),
)


def compare(a: Result, b: Result, tolerance: float) -> list[Row]:
    """Hold B against A. `tolerance`: in percent, what may be worse without being called so.

    A fault that A has not is worse, however few.
    """
    faults = (_fault_row(fault.value, a, b) for fault in Fault)
    return [
        *(_judged(figure, a, b, tolerance) for figure in _JUDGED),
        *_told(a, b),
        *(row for row in faults if row.a or row.b),
    ]


def document(a: str, b: str, tolerance: float, rows: list[Row]) -> dict[str, Any]:
    """The comparison as JSON; `a` and `b` name the results."""
    worse = [row.metric for row in rows if row.judgement == "worse"]
    return {"a": a, "b": b, "tolerance": tolerance, "worse": worse, "rows": [asdict(row) for row in rows]}


def _judged(figure: _Figure, a: Result, b: Result, tolerance: float) -> Row:
    before, after = figure.of_run(a), figure.of_run(b)
    change = _change(before, after)
    noise = _noise(figure, a, b, before)
    return Row(
        figure.metric, figure.unit, before, after, change, noise, _judge(figure, change, noise, tolerance)
    )


def _judge(figure: _Figure, change: Value, noise: Value, tolerance: float) -> Judgement | None:
    if change is None:
        return None
    if abs(change) <= tolerance:
        return "same"
    if noise is not None and abs(change) <= noise:
        return "noise"
    return "worse" if (change > 0) == figure.is_better_low else "better"


def _noise(figure: _Figure, a: Result, b: Result, before: Value) -> float | None:
    errors = [_standard_error([figure.of_second(point) for point in _measured(run)]) for run in (a, b)]
    if not before or errors[0] is None or errors[1] is None:
        return None
    return round(100 * _SIGMAS * hypot(errors[0], errors[1]) / before, 1)


def _standard_error(values: list[Value]) -> float | None:
    """Of the mean, from how much the seconds of a run differ."""
    known = [value for value in values if value is not None]
    return stdev(known) / sqrt(len(known)) if len(known) >= _FEWEST_SECONDS else None


def _told(a: Result, b: Result) -> Iterator[Row]:
    """Rare and extreme latencies: shown, and left to whoever reads them."""
    for what, name in _TOLD:
        before, after = (_number(getattr(getattr(run.latency_ms, what), name)) for run in (a, b))
        if before is not None or after is not None:
            yield Row(f"{what}_{name}", "ms", before, after, _change(before, after), None, None)


def _fault_row(name: str, a: Result, b: Result) -> Row:
    before, after = float(getattr(a, name)), float(getattr(b, name))
    judgement: Judgement = "worse" if after > before else "better" if after < before else "same"
    return Row(name, "", before, after, _change(before, after), None, judgement)


def _measured(result: Result) -> list[Point]:
    """The whole seconds after the warm-up, until the sending ended."""
    end = result.settings.warmup + result.measured_seconds
    return [point for point in result.timeline if result.settings.warmup <= point.t and point.t + 1 <= end]


def _mean(values: list[Value]) -> Value:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 2) if known else None


def _change(before: Value, after: Value) -> float | None:
    return round(100 * (after - before) / before, 1) if before and after is not None else None


def _number(value: Any) -> Value:
    return None if value is None else float(value)
