"""The frames that wait for their ACK or NACK, and what can become of one."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any, Final

from server.protocol import ErrorCode, MessageType

# Failures that no server reports. The protocol's own codes are in `ErrorCode`.
TIMEOUT: Final = "timeout"
CONNECTION_LOST: Final = "connection_lost"

# After these the message may have been saved: only the same message_id makes sure that it is saved once.
_OUTCOME_OPEN: Final = frozenset({ErrorCode.OUTCOME_UNKNOWN.value, TIMEOUT, CONNECTION_LOST})


class Status(StrEnum):
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a message failed. `retry_after` is in seconds, where the server knows it."""

    code: str
    text: str
    retryable: bool
    retry_after: float | None = None

    @property
    def outcome_open(self) -> bool:
        """Whether the message may have been saved all the same."""
        return self.code in _OUTCOME_OPEN


@dataclass(slots=True)
class Outgoing:
    """One frame sent with a message_id. Times are the caller's clock, in seconds."""

    message_id: str
    type: MessageType
    data: Any
    payload: str
    number: int  # the order in which the session was told to send
    timestamp: str | None = None  # the client's own stamp
    deadline: float = 0.0
    status: Status = Status.SENDING
    transmissions: int = 0  # over all connections, as are the NACKs
    nacks: int = 0
    resent: bool = False  # the one automatic resend after a timeout has been used
    failure: Failure | None = None
    saved_as: int | None = None  # the seq in its broadcast: proof of the save, should the ACK be lost

    @property
    def outcome_open(self) -> bool:
        """Whether, after a failure, it may have been saved or may yet be: by a transmission that no answer
        has come to, if by nothing else."""
        failed_open = self.failure is not None and self.failure.outcome_open
        return failed_open or self.transmissions > self.nacks


class Outbox:
    """Frames in flight, and failed ones in doubt: those that an answer or the broadcast may yet settle."""

    def __init__(self) -> None:
        self.in_flight: dict[str, Outgoing] = {}  # in the order of their deadlines
        self._in_doubt: dict[str, Outgoing] = {}

    def launch(self, message: Outgoing, deadline: float) -> None:
        """Puts the message in flight, behind all others: deadlines must not decrease."""
        self.forget(message.message_id)
        message.deadline = deadline
        self.in_flight[message.message_id] = message

    def awaiting(self, message_id: str) -> Outgoing | None:
        """The message that an answer to `message_id` is for."""
        return self.in_flight.get(message_id) or self._in_doubt.get(message_id)

    def in_doubt(self, message_id: str) -> Outgoing | None:
        """The failed message of this id, if it may have been saved all the same."""
        return self._in_doubt.get(message_id)

    def delivered(self, message: Outgoing) -> None:
        self.forget(message.message_id)
        message.status, message.failure = Status.DELIVERED, None

    def failed(self, message: Outgoing, failure: Failure) -> None:
        self.forget(message.message_id)
        message.status, message.failure = Status.FAILED, failure
        if message.outcome_open:
            self._in_doubt[message.message_id] = message

    def forget(self, message_id: str) -> None:
        self.in_flight.pop(message_id, None)
        self._in_doubt.pop(message_id, None)

    def log_replaced(self) -> None:
        """What was seen in the old log proves nothing any more."""
        for message in self.in_flight.values():
            message.saved_as = None

    def overdue(self, now: float) -> list[Outgoing]:
        return list(takewhile(lambda message: message.deadline <= now, self.in_flight.values()))

    def next_deadline(self) -> float | None:
        first = next(iter(self.in_flight.values()), None)
        return first.deadline if first else None

    def in_send_order(self) -> list[Outgoing]:
        return sorted(self.in_flight.values(), key=lambda message: message.number)
