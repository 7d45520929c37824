"""Service-level objectives: `ack_p99<50ms`, `delivery_p99.9<200ms`, `lost==0`, `nack_rate<1%`."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

# What a metric is measured in -> how each unit that may stand behind the number scales to it.
_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "ms": {"ms": 1.0, "s": 1000.0, "us": 0.001, "": 1.0},
    "%": {"%": 1.0},
    "/s": {"/s": 1.0, "": 1.0},
    "": {"": 1.0},
    "MiB": {"MiB": 1.0, "GiB": 1024.0},
}

TIMED: Final = ("ack", "delivery", "reconnect", "piece", "silence")
"""What has latencies."""

METRICS: Final[Mapping[str, str]] = {
    **{f"{what}_{stat}": "ms" for what in TIMED for stat in ("mean", "max")},
    **dict.fromkeys(
        (
            "sent",
            "acked",
            "nacked",
            "deliveries",
            "reconnects",
            "disconnects",
            "errors",
            "lost",
            "duplicated",
        ),
        "",
    ),
    **dict.fromkeys(("out_of_order", "ghosts", "altered", "unanswered"), ""),
    "nack_rate": "%",
    "send_rate": "/s",
    "delivery_rate": "/s",
    "server_cpu": "%",
    "server_rss": "MiB",
    "rss_growth": "%",
    "loop_lag": "ms",
    "ack_growth": "%",
}

GROWTH_SECONDS: Final = 120.0
"""A shorter run says nothing of growth: caches fill, and a few seconds' noise is a slope."""

_EXPRESSION: Final = re.compile(
    r"\s*([A-Za-z0-9_.]+)\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)?)\s*([A-Za-z%/]*)\s*"
)
_PERCENTILE: Final = re.compile(rf"({'|'.join(TIMED)})_p(\d{{1,2}}(?:[._]\d+)?)")


class SLOError(ValueError):
    """The expression is none; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class SLO:
    """One objective.

    Attributes:
        expression: As it was written.
        metric: A name of METRICS, or `ack_pN`, `delivery_pN`, `reconnect_pN` with N below 100.
        bound: In the metric's own unit (ms, %, messages per second, MiB, or a count).
    """

    expression: str
    metric: str
    comparison: str
    bound: float

    def holds(self, value: float | None) -> bool:
        """Whether it is met. What was not measured meets nothing."""
        return value is not None and _COMPARE[self.comparison](value, self.bound)

    @property
    def unit(self) -> str:
        """What the metric is measured in: ms, %, /s, MiB, or nothing."""
        return _unit_of(self.metric)

    @property
    def is_latency(self) -> bool:
        """Whether it bounds a latency from above."""
        return self.unit == "ms" and self.metric != "loop_lag" and self.comparison in ("<", "<=")

    @property
    def is_growth(self) -> bool:
        """Whether it bounds a slope, which a short run has by chance."""
        return self.metric in ("rss_growth", "ack_growth")

    @property
    def percentile(self) -> tuple[str, float] | None:
        """For `ack_p99.9`: ("ack", 99.9)."""
        match = _PERCENTILE.fullmatch(self.metric)
        return (match[1], float(match[2].replace("_", "."))) if match else None


def parse(expression: str) -> SLO:
    """Reads `METRIC COMPARISON NUMBER[UNIT]`.

    Raises:
        SLOError: It is not of that form, or the metric or its unit is unknown.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise SLOError(f"'{expression}' is no objective: write it as ack_p99<50ms or lost==0")
    metric, comparison, number, unit = match.groups()
    units = _UNITS[_unit_of(metric)]
    if unit not in units:
        known = " or ".join(name or "no unit" for name in units)
        raise SLOError(f"'{expression}': {metric} is compared with a number and {known}")
    return SLO(expression.strip(), metric, comparison, float(number) * units[unit])


def _unit_of(metric: str) -> str:
    if _PERCENTILE.fullmatch(metric):
        return "ms"
    if metric in METRICS:
        return METRICS[metric]
    near = difflib.get_close_matches(metric, [*METRICS, "ack_p99", "delivery_p99"], n=1)
    hint = f"did you mean {near[0]}?" if near else "known are ack_pN, delivery_pN, " + ", ".join(METRICS)
    raise SLOError(f"there is no metric '{metric}': {hint}")
