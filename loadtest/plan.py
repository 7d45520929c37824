"""What a run is to be: the scenarios and their defaults, and the settings of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from server.protocol import CloseCode, ErrorCode

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
        needs: The NACK code without which it has put nothing to the test.
        tolerates: Where not None, the only close codes of connections that the test itself did not end.
        slos: Objectives where none are given.
        lag_bound: How late the generator's own loop may run (p99, ms) before a run says nothing.
        server: Settings of a server started for it, as environment variables.
        faults: Whether such a server is killed, stopped and so on meanwhile.
        nodes: How many servers there are, where they are our own; above 1 on PostgreSQL and Valkey.
        has_service: Whether an AI service of the load test's own answers.
        silence: Seconds without a sign of life after which nothing more will come, at the end.
        lull: Seconds without one that are waited for though all that is known of has come.
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
    needs: str | None = None
    tolerates: frozenset[str] | None = None
    slos: tuple[str, ...] = ()
    lag_bound: float = 100.0
    server: Mapping[str, str] = field(default_factory=dict)
    faults: bool = False
    nodes: int = 1
    has_service: bool = False
    silence: float = 3.0
    lull: float = 0.0


# Invariants of scenarios; their code names them when they are broken.
WITHIN_LIMIT: Final = "no window holds more accepted messages than the limit"
UP_TO_LIMIT: Final = "a flood gets through as much as the limit allows"
TELLS_WHEN: Final = "every refusal says after how long to try again"
MEANS_IT: Final = "after that time a sole sender is accepted"
PIECES_JOIN: Final = "an answer's pieces, joined, are its text, without hole or overlap"
ONE_WINS: Final = "of a cancel and an answer's end exactly one wins, and what was shown is saved"
BACK_IN_TIME: Final = "after a storm every device is back within 15 s"
IN_ONE_TURN: Final = "every message is in exactly one turn that the AI service took"
TURNS_IN_ORDER: Final = "turns come in order, each when the one before it is taken, the same at every try"
ONE_CONNECTION: Final = "of two connections of one device the older one ends, at the latest within 10 s"
ANSWERED_ONCE: Final = "every turn is answered once, and with the service's words"

# A server that is killed and stopped, with bounds short enough for it to notice.
_IMPATIENT: Final[Mapping[str, str]] = {
    "CHAT_STORE__TIMEOUT": "1",
    "CHAT_HEARTBEAT__INTERVAL": "0.5",
    "CHAT_HEARTBEAT__TIMEOUT": "2",
    "CHAT_SERVER__SHUTDOWN_GRACE": "5",
}

_ALL: Final = (
    Scenario(
        "fanout",
        "One device sends; every device of the conversation gets every message once and in order.",
        users=20,
        devices=3,
        rate=100.0,
        duration=10.0,
    ),
    Scenario(
        "ack",
        "Messages arrive at a fixed rate, whatever the server does; every one is answered.",
        users=50,
        devices=1,
        rate=200.0,
        duration=20.0,
    ),
    Scenario(
        "ratelimit",
        "Users who send too much, from one device or many, get through what the limit allows, and no more.",
        users=9,
        devices=3,
        rate=200.0,
        duration=10.0,
        invariants=(WITHIN_LIMIT, UP_TO_LIMIT, TELLS_WHEN, MEANS_IT),
        provokes=frozenset({ErrorCode.RATE_LIMITED.value}),
        needs=ErrorCode.RATE_LIMITED.value,
        server={
            "CHAT_RATE_LIMIT__ENABLED": "true",
            "CHAT_RATE_LIMIT__MESSAGES": "20",
            "CHAT_RATE_LIMIT__WINDOW": "2",
        },
    ),
    Scenario(
        "reconnect",
        "Connections are cut at random; every device sees every message once, and the server counts right.",
        users=20,
        devices=3,
        rate=100.0,
        duration=15.0,
        counts_reconnects=True,
    ),
    Scenario(
        "storm",
        "All devices lose their connections at once, again and again; all come back, and nothing is lost.",
        users=100,
        devices=2,
        rate=50.0,
        duration=30.0,
        invariants=(BACK_IN_TIME,),
        tolerates=frozenset({str(CloseCode.TRY_AGAIN_LATER.value)}),
        provokes=frozenset({str(CloseCode.TRY_AGAIN_LATER.value)}),
        counts_reconnects=True,
        lag_bound=2000.0,  # a storm hits the generator too, and it is seconds that are measured
    ),
    Scenario(
        "ai",
        "The AI's messages come by REST, whole, in pieces or stopped midway; each device gets each once.",
        users=20,
        devices=3,
        rate=50.0,
        duration=10.0,
        invariants=(PIECES_JOIN, ONE_WINS),
    ),
    Scenario(
        "soak",
        "A mix of everything for as long as wished; memory and latency stay flat.",
        users=100,
        devices=2,
        rate=100.0,
        duration=600.0,
        slos=("rss_growth<10%", "ack_growth<50%"),
    ),
    Scenario(
        "faults",
        "The server is killed, stopped, its database locked, its disk full: what it ACKed stays, in order.",
        users=20,
        devices=3,
        rate=100.0,
        duration=40.0,
        provokes=frozenset({str(CloseCode.TRY_AGAIN_LATER.value)}),
        lag_bound=2000.0,  # all come back at once, again and again
        server=_IMPATIENT,
        faults=True,
    ),
    Scenario(
        "cluster",
        "Nodes, PostgreSQL and Valkey fail; devices on different nodes see every message once and in order.",
        users=20,
        devices=3,
        rate=60.0,
        duration=120.0,
        invariants=(ONE_CONNECTION,),
        provokes=frozenset({str(CloseCode.TRY_AGAIN_LATER.value)}),
        lag_bound=2000.0,
        server={**_IMPATIENT, "CHAT_BACKPLANE__NODE_TTL": "2"},
        faults=True,
        nodes=3,
        silence=8.0,  # a device that missed the last message of its conversation is told by a slow round
        lull=1.0,
    ),
    Scenario(
        "webhook",
        "The AI service fails, stalls, dies; each ACKed message is in one turn that it took, answered once.",
        users=20,
        devices=2,
        rate=40.0,
        duration=60.0,
        invariants=(IN_ONE_TURN, TURNS_IN_ORDER, ANSWERED_ONCE, PIECES_JOIN),
        provokes=frozenset({str(CloseCode.TRY_AGAIN_LATER.value)}),
        lag_bound=2000.0,
        server={
            **_IMPATIENT,
            "CHAT_AI__RESPONDER": "webhook",
            "CHAT_AI__WEBHOOK_TIMEOUT": "1",
            "CHAT_AI__TYPING_DELAY": "[0, 0]",
            "CHAT_AI__TURN_WAIT": "0.1",
            "CHAT_AI__TURN_MAX_WAIT": "0.5",
        },
        faults=True,
        has_service=True,
        silence=12.0,  # the pause between two tries of a turn that has failed some times
        lull=2.0,  # the service may have taken a turn that it answers later
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}


class Settings(BaseModel):
    """The settings of one run.

    Attributes:
        rate: Messages per second of all users together.
        warmup: Seconds from the start that latencies leave out.
        duration: Seconds of measured time after that; None: until somebody ends it.
        nodes: Where the nodes of a cluster are; empty: one server, at `url`.
        service: The address of the load test's AI service, where the scenario has one.
    """

    scenario: str
    url: str
    nodes: tuple[str, ...] = ()
    service: str | None = None
    users: int
    spawn_rate: float
    devices: int
    rate: float
    warmup: float
    duration: float | None
    processes: int = 1
    run_id: str

    @property
    def origins(self) -> tuple[str, ...]:
        """Where devices connect to."""
        return self.nodes or (self.url,)

    @property
    def rate_per_user(self) -> float:
        return self.rate / self.users


def warmup_of(users: int, spawn_rate: float) -> float:
    """Seconds until all users have started and settled."""
    return users / spawn_rate + RAMP_MARGIN
