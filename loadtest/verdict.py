"""From what was measured to what it means: faults, objectives, and whether the run says anything at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from loadtest import slo
from loadtest.ledger import Fault
from loadtest.machine import describe_machine
from loadtest.objectives import hold
from loadtest.plan import SCENARIOS, Scenario, Settings
from loadtest.result import (
    Check,
    Curves,
    GeneratorUse,
    Latency,
    Percentiles,
    Result,
)
from loadtest.slo import GROWTH_SECONDS, SLO
from loadtest.tally import Second, Tally
from loadtest.timeline import timeline

# A generator whose own loop is late (p99, ms), or that has no CPU left, measures itself.
_LAG_WARNING: Final = 10.0
_CPU_INVALID: Final = 95.0
_CPU_WARNING: Final = 80.0
_ENOUGH_FOR_P99_9: Final = 10_000

# Refusals by a limit: NACK codes and close codes.
_LIMIT_NACKS: Final = ("rate_limited",)
_LIMIT_CLOSES: Final = ("1008", "1013")

_CUT_OFF: Final = 1.0  # seconds by which a run may be shorter than asked

RECONNECTS_COUNTED: Final = "the server counts every reconnection"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a run leaves behind.

    Attributes:
        tally: Of all generator processes together.
        missing_processes: How many of them gave no account.
        seconds, samples: By seconds since the start; a sample is one answer of GET /stats.
        before, after: GET /stats; empty where it could not be read.
        ran: Seconds from the start until the sending stopped.
        trouble: Why the run came to nothing, where it did.
    """

    scenario: Scenario
    settings: Settings
    slos: list[SLO]
    tally: Tally
    missing_processes: int
    seconds: Mapping[int, Second]
    samples: Mapping[int, dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    started_at: str
    ran: float
    machine: dict[str, Any]
    trouble: str | None = None


def judge(evidence: Evidence) -> Result:
    """The result of the run."""
    result = _measured(evidence)
    result.checks = list(_checks(evidence))
    result.slos = [hold(wanted, result, evidence.tally) for wanted in _judgeable(evidence)]
    result.failed_because = list(_failures(result))
    result.invalid_because = list(_invalidities(evidence, result))
    result.warnings = list(_warnings(evidence, result))
    result.valid = not result.invalid_because
    result.passed = result.valid and not result.failed_because
    return result


def _judgeable(evidence: Evidence) -> list[SLO]:
    """Return the objectives that a run of this length can say something about."""
    is_long = evidence.ran - evidence.settings.warmup >= GROWTH_SECONDS - _CUT_OFF
    return [wanted for wanted in evidence.slos if is_long or not wanted.is_growth]


def _measured(evidence: Evidence) -> Result:
    """What was measured, without a judgement."""
    tally, settings = evidence.tally, evidence.settings
    measured = max(0.0, evidence.ran - settings.warmup)
    return Result(
        scenario=settings.scenario,
        passed=False,
        valid=False,
        invalid_because=[],
        failed_because=[],
        warnings=[],
        started_at=evidence.started_at,
        measured_seconds=round(measured, 3),
        settings=settings,
        users=tally.users,
        devices=tally.devices,
        sent=tally.sent,
        acked=tally.acked,
        nacked=dict(tally.nacked),
        deliveries=tally.deliveries,
        **{fault.value: tally.faults[fault.value] for fault in Fault},
        reconnects=tally.reconnects,
        disconnects=dict(tally.disconnects),
        errors=dict(tally.errors.most_common(50)),
        send_rate=_per_second(tally.measured_sent, measured),
        delivery_rate=_per_second(tally.measured_deliveries, measured),
        latency_ms=Latency(
            ack=Percentiles.model_validate(tally.ack.summary()),
            delivery=Percentiles.model_validate(tally.delivery.summary()),
            reconnect=Percentiles.model_validate(tally.reconnect.summary()),
            piece=Percentiles.model_validate(tally.piece.summary()),
            silence=Percentiles.model_validate(tally.silence.summary()),
        ),
        checks=[],
        slos=[],
        findings=tally.first_findings(),
        generator=_generator_use(tally),
        server={"url": settings.url, "before": evidence.before, "after": evidence.after},
        machine=evidence.machine,
        curves=Curves(ack=tally.ack.curve(), delivery=tally.delivery.curve()),
        timeline=timeline(evidence.seconds, evidence.samples, evidence.ran),
    )


def of_nothing(settings: Settings, expressions: list[str], reason: str) -> Result:
    """The result of a run that never began."""
    return judge(
        Evidence(
            scenario=SCENARIOS[settings.scenario],
            settings=settings,
            slos=[slo.parse(expression) for expression in expressions],
            tally=Tally(),
            missing_processes=0,
            seconds={},
            samples={},
            before={},
            after={},
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ran=0.0,
            machine=describe_machine(),
            trouble=reason,
        )
    )


def _per_second(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if seconds else 0.0


def _generator_use(tally: Tally) -> GeneratorUse:
    load = tally.generator
    cpu = 100 * load.cpu_seconds / load.wall_seconds if load.wall_seconds else None
    return GeneratorUse(
        processes=load.processes,
        cpu_percent=None if cpu is None else round(cpu, 1),
        rss_bytes=load.rss_bytes,
        lag_ms=Percentiles.model_validate(load.lag.summary()),
    )


def _checks(evidence: Evidence) -> Iterator[Check]:
    for name in evidence.scenario.invariants:
        details = evidence.tally.violations.get(name, [])
        yield Check(name=name, passed=not details, details=details)
    if evidence.scenario.tolerates is not None:
        yield _only_tolerated_closes(evidence.scenario.tolerates, evidence.tally)
    if evidence.scenario.counts_reconnects:
        yield _reconnects_counted(evidence)


def _only_tolerated_closes(tolerated: frozenset[str], tally: Tally) -> Check:
    details = [f"{code}: {count} times" for code, count in tally.disconnects.items() if code not in tolerated]
    name = f"no connection is refused or closed but with {', '.join(sorted(tolerated))}"
    return Check(name=name, passed=not details, details=details)


def _reconnects_counted(evidence: Evidence) -> Check:
    try:
        before, after = (stats["connections"]["reconnections"] for stats in (evidence.before, evidence.after))
    except KeyError:
        details = ["GET /stats did not tell the number of reconnections"]
    else:
        counted, made = after - before, evidence.tally.reconnects
        details = [] if counted == made else [f"{made} reconnections were made, {counted} counted"]
    return Check(name=RECONNECTS_COUNTED, passed=not details, details=details)


def _failures(result: Result) -> Iterator[str]:
    for fault in Fault:
        count = getattr(result, fault.value)
        if count:
            yield f"{fault.value.replace('_', ' ')}: {count}"
    for check in result.checks:
        if not check.passed:
            yield f"{check.name}: {check.details[0]}"
    for objective in result.slos:
        if not objective.passed:
            value = (
                "nothing was measured"
                if objective.value is None
                else f"it was {objective.value:g}{objective.unit}"
            )
            yield f"{objective.expression}: {value}"


def _invalidities(evidence: Evidence, result: Result) -> Iterator[str]:
    if evidence.trouble:
        yield evidence.trouble
    elif not result.sent:
        yield "nothing was sent"
    if evidence.missing_processes:
        yield f"{evidence.missing_processes} generator processes gave no account"
    yield from evidence.tally.unfit
    for reason, count in evidence.tally.unread.items():
        yield f"the history of {count} conversations could not be read: {reason}"
    needed = evidence.scenario.needs
    if needed and not evidence.tally.nacked[needed] and not result.failed_because:
        yield f"no message was refused as {needed}: raise --rate"
    yield from _provoked_limits(evidence)
    yield from _overload(result, evidence.scenario.lag_bound)


def _provoked_limits(evidence: Evidence) -> Iterator[str]:
    """Refusals that the scenario did not mean to provoke."""
    provokes, tally = evidence.scenario.provokes, evidence.tally
    for code in _LIMIT_NACKS:
        if tally.nacked[code] and code not in provokes:
            yield f"{tally.nacked[code]} messages were refused as {code}"
    for code in _LIMIT_CLOSES:
        if tally.disconnects[code] and code not in provokes:
            yield f"{tally.disconnects[code]} connections were refused with {code}"
    missing = tally.devices - tally.welcomed
    if missing:
        yield f"{missing} of {tally.devices} devices were never welcomed"


def _overload(result: Result, lag_bound: float) -> Iterator[str]:
    """Signs that the generator, and not the server, was the bottleneck."""
    use = result.generator
    lag = use.lag_ms.p99 or 0.0
    if lag > lag_bound:
        yield f"the generator was overloaded: its own loop ran {lag:.0f} ms late (p99)"
    if (use.cpu_percent or 0.0) > _CPU_INVALID:
        yield f"the generator was overloaded: {use.cpu_percent:.0f}% of a CPU; use more --processes"


def _warnings(evidence: Evidence, result: Result) -> Iterator[str]:
    use = result.generator
    lag = use.lag_ms.p99 or 0.0
    if lag > _LAG_WARNING:
        yield f"the generator's own loop ran {lag:.1f} ms late (p99): latencies have that in them"
    judged = _judgeable(evidence)
    for objective, wanted in zip(result.slos, judged, strict=True):
        missed_by = (objective.value or 0.0) - wanted.bound
        if not objective.passed and wanted.is_latency and missed_by < lag:
            yield f"the generator's own lag may be all that {wanted.expression} was missed by"
    if left_out := [wanted.expression for wanted in evidence.slos if wanted not in judged]:
        yield f"growth is judged from {GROWTH_SECONDS:g} s on, so not: {', '.join(left_out)}"
    if (use.cpu_percent or 0.0) > _CPU_WARNING:
        yield f"the generator used {use.cpu_percent:.0f}% of a CPU: more --processes measure more exactly"
    if 0 < (count := result.latency_ms.ack.count) < _ENOUGH_FOR_P99_9:
        yield f"p99.9 rests on {max(1, count // 1000)} of {count} ACKs: run longer to believe it"
    if result.disconnects:
        ends = ", ".join(f"{count} with {code}" for code, count in result.disconnects.items())
        yield f"connections were lost or not made: {ends}"
    for note, count in evidence.tally.notes.items():
        yield f"{note} ({count} times)" if count > 1 else note
    if result.sent and not any(point.server for point in result.timeline):
        yield "the server's own metrics are missing: GET /stats could not be read"
