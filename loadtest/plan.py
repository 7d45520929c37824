"""What a run is to be: the scenarios and their defaults, and the settings of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

RAMP_MARGIN: Final = 1.0
"""Seconds of warm-up after the last user has started."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of load and what must hold under it.

    Attributes:
        proves: One sentence.
        rate: Messages per second of all users together.
        duration: Seconds of measured time.
        invariants: What must hold beside the ledger.
        counts_reconnects: Whether the server's counter must agree: nobody else may use the server meanwhile.
        provokes: NACK and close codes that it means to provoke; any other refusal by a limit makes a run
            invalid.
        server: Settings of a server started for it, as environment variables.
    """

    name: str
    proves: str
    users: int
    devices: int
    rate: float
    duration: float
    invariants: tuple[str, ...] = ()
    counts_reconnects: bool = False
    provokes: frozenset[str] = frozenset()
    server: Mapping[str, str] = field(default_factory=dict)


FANOUT: Final = Scenario(
    "fanout",
    "One device sends; every device of the conversation gets every message once and in order.",
    users=20,
    devices=3,
    rate=100.0,
    duration=10.0,
)
ACK: Final = Scenario(
    "ack",
    "Messages arrive at a fixed rate, whatever the server does, and every one is answered.",
    users=50,
    devices=1,
    rate=200.0,
    duration=20.0,
)

SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in (FANOUT, ACK)}


class Settings(BaseModel):
    """The settings of one run.

    Attributes:
        rate: Messages per second of all users together.
        warmup: Seconds from the start that latencies leave out.
        duration: Seconds of measured time after that; None: until somebody ends it.
    """

    scenario: str
    url: str
    users: int
    spawn_rate: float
    devices: int
    rate: float
    warmup: float
    duration: float | None
    processes: int = 1
    run_id: str

    @property
    def rate_per_user(self) -> float:
        return self.rate / self.users


def warmup_of(users: int, spawn_rate: float) -> float:
    """Seconds until all users have started and settled."""
    return users / spawn_rate + RAMP_MARGIN
