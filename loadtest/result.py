"""The result of a run: the JSON document, and what every other report is made from."""

from typing import Any

from pydantic import BaseModel, Field, computed_field

from loadtest.ledger import Finding
from loadtest.plan import Settings

Milliseconds = float


class Percentiles(BaseModel):
    """Latencies from when a send was due, in ms; None where nothing was measured."""

    p50: Milliseconds | None = None
    p90: Milliseconds | None = None
    p99: Milliseconds | None = None
    p99_9: Milliseconds | None = None
    max: Milliseconds | None = None
    mean: Milliseconds | None = None
    count: int = 0


class Latency(BaseModel):
    """`ack`: to the sender's ACK. `delivery`: to the arrival at each device.

    `piece`: of an answer being written, to its arrival at each device. `silence`: from a cancel to the end
    of the answer, on each device.
    `reconnect`, with the warm-up: from the end of a connection to the next welcome, the back-off included.
    """

    ack: Percentiles
    delivery: Percentiles
    reconnect: Percentiles
    piece: Percentiles
    silence: Percentiles


class Curves(BaseModel):
    """(percentile, ms) points of the two distributions."""

    ack: list[tuple[float, Milliseconds]]
    delivery: list[tuple[float, Milliseconds]]


class Objective(BaseModel):
    """An SLO and what was measured, in `unit`: " ms", "%", "/s", " MiB", or "" for a count."""

    expression: str
    value: float | None
    unit: str
    passed: bool


class Check(BaseModel):
    """Something that must hold whatever the SLOs say.

    `details`: the first few times that it did not; of a fault, when it was inflicted.
    """

    name: str
    passed: bool
    details: list[str] = Field(default_factory=list)


class GeneratorUse(BaseModel):
    """How busy the generator was in the measured time; `lag_ms`: how late its own loop ran."""

    processes: int
    cpu_percent: float | None
    rss_bytes: int
    lag_ms: Percentiles


class ServerSample(BaseModel):
    """What the server told of itself in one second (GET /stats)."""

    cpu_percent: float | None = None
    rss_bytes: int | None = None
    loop_lag_ms: float | None = None
    batch_mean: float | None = None
    batch_max: float | None = None
    connections: int | None = None
    ack_p99_ms: float | None = None
    commit_p99_ms: float | None = None


class Point(BaseModel):
    """One second of the run, `t` seconds after its start. Latencies are of what arrived in it, in ms."""

    t: int
    sent: int = 0
    acked: int = 0
    nacked: int = 0
    delivered: int = 0
    errors: int = 0
    ack_p50: Milliseconds | None = None
    ack_p99: Milliseconds | None = None
    ack_max: Milliseconds | None = None
    delivery_p50: Milliseconds | None = None
    delivery_p99: Milliseconds | None = None
    delivery_max: Milliseconds | None = None
    server: ServerSample | None = None


class Result(BaseModel):
    """Everything about a run.

    Attributes:
        passed: The run is valid, and every fault count, check and SLO is as it must be.
        valid: What was measured says something about the server.
        invalid_because, failed_because, warnings: One sentence each.
        lost, duplicated, out_of_order, ghosts, altered, unanswered: Faults of the ledger.
        deliveries: Messages seen for the first time by a device; also in the warm-up, as all counts.
        measured_seconds: Without warm-up; latencies and rates are of these.
        server: Its version and settings as far as it tells them, and its /stats before and after.
    """

    scenario: str
    passed: bool
    valid: bool
    invalid_because: list[str]
    failed_because: list[str]
    warnings: list[str]
    started_at: str
    measured_seconds: float
    settings: Settings
    users: int
    devices: int
    sent: int
    acked: int
    nacked: dict[str, int]
    deliveries: int
    lost: int
    duplicated: int
    out_of_order: int
    ghosts: int
    altered: int
    unanswered: int
    reconnects: int
    disconnects: dict[str, int]
    errors: dict[str, int]
    send_rate: float
    delivery_rate: float
    latency_ms: Latency
    checks: list[Check]
    slos: list[Objective]
    findings: list[Finding]
    generator: GeneratorUse
    server: dict[str, Any]
    machine: dict[str, Any]
    curves: Curves
    timeline: list[Point]

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def verdict(self) -> str:
        """`passed`, `failed` or `not valid`."""
        if not self.valid:
            return "not valid"
        return "passed" if self.passed else "failed"

    def add_checks(self, checks: list[Check]) -> None:
        """What was found out beside the load; one that failed fails the run."""
        self.checks += checks
        self.failed_because += [f"{check.name}: {check.details[0]}" for check in checks if not check.passed]
        self.passed = self.valid and not self.failed_because

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 3 not valid."""
        if not self.valid:
            return 3
        return 0 if self.passed else 1
