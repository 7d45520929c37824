"""What one generator process has counted, and how the accounts of several add up."""

from collections import Counter
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from loadtest.histogram import Latencies
from loadtest.ledger import Fault, Finding, Ledger

_FINDINGS_PER_FAULT: Final = 10
_VIOLATIONS_PER_CHECK: Final = 10


def _latencies(value: Latencies | str) -> Latencies:
    return value if isinstance(value, Latencies) else Latencies.decode(value)


Histogram = Annotated[
    Latencies, PlainValidator(_latencies), PlainSerializer(Latencies.encode, return_type=str)
]


class Account(BaseModel):
    """Counts, counters, lists and histograms that add up, and pass between processes as JSON types."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def add(self, other: "Account") -> None:
        """Adds every field of the other account to this one's."""
        for name in type(self).model_fields:
            setattr(self, name, _sum(getattr(self, name), getattr(other, name)))


class Second(Account):
    """What happened within one second of the run."""

    sent: int = 0
    acked: int = 0
    nacked: int = 0
    delivered: int = 0
    errors: int = 0
    ack: Histogram = Field(default_factory=Latencies)
    delivery: Histogram = Field(default_factory=Latencies)


class GeneratorLoad(Account):
    """How busy the generator itself was in the measured time. `lag`: how late its loop ran."""

    processes: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    rss_bytes: int = 0
    lag: Histogram = Field(default_factory=Latencies)


class Tally(Account):
    """All that one process has found. `ack` and `delivery` leave the warm-up out; counts do not.

    Attributes:
        deliveries: Messages seen for the first time by a device.
        disconnects: Connections that ended without the test's doing, by close code.
        violations: Broken invariants of the scenario, by their name.
        measured_sent, measured_deliveries: Those after the warm-up.
        reconnect: From the end of a connection to the welcome on the next.
        piece: Of an answer being written, from its due time to each device.
        silence: From a cancel to the end of the answer, on each device.
        unfit: Why the scenario says nothing about this server.
        unread: Why conversations' histories could not be read.
    """

    users: int = 0
    devices: int = 0
    welcomed: int = 0  # devices that were let in at least once
    sent: int = 0
    acked: int = 0
    nacked: Counter[str] = Field(default_factory=Counter)
    deliveries: int = 0
    measured_sent: int = 0
    measured_deliveries: int = 0
    reconnects: int = 0
    disconnects: Counter[str] = Field(default_factory=Counter)
    errors: Counter[str] = Field(default_factory=Counter)
    faults: Counter[str] = Field(default_factory=Counter)
    findings: list[Finding] = Field(default_factory=list)
    violations: dict[str, list[str]] = Field(default_factory=dict)
    unfit: Counter[str] = Field(default_factory=Counter)
    unread: Counter[str] = Field(default_factory=Counter)
    notes: Counter[str] = Field(default_factory=Counter)
    ack: Histogram = Field(default_factory=Latencies)
    delivery: Histogram = Field(default_factory=Latencies)
    reconnect: Histogram = Field(default_factory=Latencies)
    piece: Histogram = Field(default_factory=Latencies)
    silence: Histogram = Field(default_factory=Latencies)
    generator: GeneratorLoad = Field(default_factory=GeneratorLoad)

    def add_ledger(self, ledger: Ledger) -> None:
        """Takes over what a judged ledger counted."""
        self.sent += ledger.sent
        self.acked += ledger.acked
        self.nacked += ledger.nacked
        self.deliveries += ledger.deliveries
        self.faults.update({fault.value: count for fault, count in ledger.faults.items()})
        self.findings += ledger.findings

    def first_findings(self) -> list[Finding]:
        """The first few of each fault."""
        return [
            finding
            for fault in Fault
            for finding in [one for one in self.findings if one.fault == fault][:_FINDINGS_PER_FAULT]
        ]


def _sum(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, Latencies):
        mine.merge(theirs)
        return mine
    if isinstance(mine, Account):
        mine.add(theirs)
        return mine
    if isinstance(mine, Counter):
        mine.update(theirs)
        return mine
    if isinstance(mine, dict):
        keys = [*mine, *(key for key in theirs if key not in mine)]
        return {key: (mine.get(key, []) + theirs.get(key, []))[:_VIOLATIONS_PER_CHECK] for key in keys}
    return mine + theirs
