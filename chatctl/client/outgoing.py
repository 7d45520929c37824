"""A frame that is answered by ACK or NACK, and what can become of it."""

from dataclasses import dataclass
from enum import StrEnum
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
        """Tells whether the message may have been saved all the same."""
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
        """Tells whether, after a failure, it may have been saved or may yet be: by a transmission that no
        answer has come to, if by nothing else."""
        failed_open = self.failure is not None and self.failure.outcome_open
        return failed_open or self.transmissions > self.nacks
