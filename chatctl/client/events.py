"""What a session reports to the program around it, one small class an event."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chatctl.client.order import OrderFault
from chatctl.client.outgoing import Outgoing
from server.protocol import Welcome

Frame = dict[str, Any]
"""A received frame as it stands on the wire: the envelope of the protocol's section 2."""


class State(StrEnum):
    """Of the session as a whole; `reconnecting` is any time between two connections."""

    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


@dataclass(slots=True)
class Welcomed:
    """The connection is open. What was in flight has been queued once more.

    `replaced` means that the conversation's log is another one than before: whatever was shown of it is void.
    """

    welcome: Welcome
    replaced: bool


@dataclass(slots=True)
class Message:
    """A saved message (CHAT_MESSAGE or AI_RESPONSE), live, replayed or from the history.

    Show it only where `new`: otherwise this device has had it before. `fault` tells how the server broke
    the order that it owes a connection, None if it did not.
    """

    frame: Frame
    seq: int
    message_id: str
    new: bool
    fault: OrderFault | None

    @property
    def finish(self) -> str | None:
        """Tells why an AI_RESPONSE is not whole: `cancelled`, `length`, `content_filter` or `incomplete`."""
        return self.frame.get("finish")


@dataclass(slots=True)
class Missing:
    """Messages `first` to `last` will not come by themselves.

    Read them from the REST history and hand them to `Session.history`.
    """

    first: int
    last: int


@dataclass(slots=True)
class Delivered:
    """Saved for good. `seq` is None where the frame was no CHAT_MESSAGE; `ack` is None where the
    broadcast, and no ACK, was the proof."""

    message: Outgoing
    seq: int | None
    duplicate: bool
    ack: Frame | None


@dataclass(slots=True)
class Failed:
    """NACKed, or given up; `message.failure` says why. `Session.retry` sends it again.

    A message given up may still turn out to be saved: then `Delivered` follows.
    """

    message: Outgoing


@dataclass(slots=True)
class Chunk:
    """News of an AI_RESPONSE being written.

    `so_far` is all of its text until now, always a beginning of the whole; `text` is what is new of it.
    `aborted` ends one of which nothing will be saved. Nothing of it outlives the connection: forget all
    that is unfinished at `Welcomed`; what is still being written comes again, with all of its text.
    """

    message_id: str
    text: str
    so_far: str
    aborted: bool
    frame: Frame


@dataclass(slots=True)
class Misplaced:
    """A piece of an answer that leaves a hole, doubles something or comes after the whole answer.

    A faultless server sends none. It is not shown; if a part of it is new and fits, that is a `Chunk`.
    """

    message_id: str
    frame: Frame


@dataclass(slots=True)
class Typing:
    sender: str
    is_typing: bool


@dataclass(slots=True)
class Read:
    """`sender` has read everything up to `seq`."""

    sender: str
    message_id: str | None
    seq: int


@dataclass(slots=True)
class Notice:
    """Every other frame: SYSTEM (`data["event"]`: devices, shutdown, announcement, disclosure, no_answer),
    NEW_MATCH, AI_STATUS, CONVERSATION_CREATED, ERROR, an answer to nothing that is in flight, and types of
    later protocols."""

    type: str
    data: Any
    frame: Frame


@dataclass(slots=True)
class Unreadable:
    """The server sent what is no frame of this protocol. It is skipped."""

    payload: str | bytes
    reason: str


@dataclass(slots=True)
class Stale:
    """This connection is of no use: abort it and report `disconnected`. `reason` tells why."""

    reason: str


@dataclass(slots=True)
class Reconnecting:
    """Connect again after `delay` seconds. `attempt` counts from 1 since the last welcome."""

    delay: float
    attempt: int
    code: int
    reason: str


@dataclass(slots=True)
class Ended:
    """The session does not reconnect by itself; all that was in flight has failed."""

    code: int
    reason: str


Event = (
    Welcomed
    | Message
    | Missing
    | Delivered
    | Failed
    | Chunk
    | Misplaced
    | Typing
    | Read
    | Notice
    | Unreadable
    | Stale
    | Reconnecting
    | Ended
)
