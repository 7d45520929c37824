"""What a running load test tells once a second, as a line of JSON, to whoever started it."""

from enum import StrEnum

from pydantic import BaseModel

from loadtest.result import Point


class Phase(StrEnum):
    WARMING_UP = "warming up"
    MEASURING = "measuring"
    SETTLING = "waiting for the last answers, reading the histories back"
    DONE = "done"


class Progress(BaseModel):
    """Totals since the start, and the last second that is complete."""

    phase: Phase
    t: float
    users: int
    sent: int
    acked: int
    nacked: int
    deliveries: int
    errors: int
    last: Point | None
