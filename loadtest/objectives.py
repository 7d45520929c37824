"""The objectives of a run, each held against what was measured."""

from statistics import fmean, linear_regression
from typing import Final

from loadtest.ledger import Fault
from loadtest.result import Objective, Result
from loadtest.slo import SLO, TIMED
from loadtest.tally import Tally

_FEWEST_POINTS_OF_A_SLOPE: Final = 5
_MIB: Final = 1024 * 1024


def hold(wanted: SLO, result: Result, tally: Tally) -> Objective:
    """Whether the run met it, and with which value."""
    value = _value(wanted, result, tally)
    return Objective(
        expression=wanted.expression,
        value=None if value is None else round(value, 3),
        unit=wanted.unit if wanted.unit in ("", "%", "/s") else f" {wanted.unit}",
        passed=wanted.holds(value),
    )


def _value(wanted: SLO, result: Result, tally: Tally) -> float | None:
    """What was measured for the metric, in its own unit."""
    if wanted.percentile is not None:
        what, percent = wanted.percentile
        return {
            "ack": tally.ack,
            "delivery": tally.delivery,
            "reconnect": tally.reconnect,
            "piece": tally.piece,
            "silence": tally.silence,
        }[what].percentile(percent)
    return _figures(result)[wanted.metric]


def _figures(result: Result) -> dict[str, float | None]:
    """Every metric of slo.METRICS."""
    nacked = sum(result.nacked.values())
    measured = [point for point in result.timeline if point.t >= result.settings.warmup]
    servers = [(float(point.t), point.server) for point in measured if point.server]
    memory = [(t, server.rss_bytes / _MIB) for t, server in servers if server.rss_bytes is not None]
    return {
        **{f"{name}_mean": getattr(result.latency_ms, name).mean for name in TIMED},
        **{f"{name}_max": getattr(result.latency_ms, name).max for name in TIMED},
        **{name: getattr(result, name) for name in ("sent", "acked", "deliveries", "reconnects")},
        **{fault.value: getattr(result, fault.value) for fault in Fault},
        "nacked": nacked,
        "disconnects": sum(result.disconnects.values()),
        "errors": sum(result.errors.values()),
        "nack_rate": 100 * nacked / result.sent if result.sent else None,
        "send_rate": result.send_rate,
        "delivery_rate": result.delivery_rate,
        "server_cpu": _mean([server.cpu_percent for _, server in servers]),
        "server_rss": max((size for _, size in memory), default=None),
        "loop_lag": _highest([server.loop_lag_ms for _, server in servers]),
        "rss_growth": growth(memory),
        "ack_growth": growth([(float(point.t), point.ack_p50) for point in measured if point.ack_p50]),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def growth(points: list[tuple[float, float]]) -> float | None:
    """By how many percent the straight line through the points rises from the first to the last."""
    if len(points) < _FEWEST_POINTS_OF_A_SLOPE:
        return None
    times = [time for time, _ in points]
    slope, intercept = linear_regression(times, [value for _, value in points])
    start = intercept + slope * times[0]
    return 100 * slope * (times[-1] - times[0]) / start if start > 0 else None
