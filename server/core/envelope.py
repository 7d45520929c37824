"""What nodes send each other: a kind, who sent it, a short head and a frame for devices as it is."""

import json
import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

_START: Final = struct.Struct(">BH12s")  # kind, bytes of the head, the sending node's id
_SEQ: Final = struct.Struct(">Q")  # the epoch follows


class Kind(IntEnum):
    """What an envelope is about. A node passes over kinds that it does not know: newer ones may send them."""

    MESSAGE = 1  # a saved message of a conversation; without a frame: it is said how far that has got
    SIGNAL = 2  # a frame of a conversation that is not saved
    DEVICES = 3  # how many devices of a conversation its sender has
    HELLO = 4  # its sender has just subscribed to a conversation, and wants to know what there is
    DELETED = 5  # conversations that are gone
    ANNOUNCEMENT = 6  # to a user, or to everybody
    AI_STATUS = 7
    REQUEST = 8  # from one node to another, which gives one answer
    ANSWER = 9
    CHUNK = 10  # of a stream being written
    FORGOTTEN = 11  # a user of whom nothing is to be kept
    TAKEN = 12  # a device's place, while the registry could not be asked who had it
    SPREAD = 13  # a user whom the receiving node knows has come to another one too
    STREAMS = 14  # its sender wants to know all that is shown of the streams being written


class Envelope(NamedTuple):
    """`kind` is a number, since it may be an unknown one."""

    kind: int
    origin: str
    head: bytes
    frame: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """Read the head of all kinds but MESSAGE."""
        found: dict[str, Any] = json.loads(self.head)
        return found


class SavedHead(NamedTuple):
    """What is said of a saved message. The epoch names the log that `seq` counts in."""

    seq: int
    epoch: str


def pack(kind: Kind, origin: bytes, head: bytes, frame: bytes = b"") -> bytes:
    """Put an envelope together. `origin`: the node's id, twelve characters."""
    return _START.pack(kind, len(head), origin) + head + frame


def unpack(payload: bytes) -> Envelope | None:
    """Take an envelope apart; None for what is none."""
    if len(payload) < _START.size:
        return None
    kind, size, origin = _START.unpack_from(payload)
    end = _START.size + size
    return Envelope(kind, origin.decode("ascii", "replace"), payload[_START.size : end], payload[end:])


def facts_head(facts: dict[str, Any]) -> bytes:
    """Write a head that `Envelope.facts` reads."""
    return json.dumps(facts, separators=(",", ":")).encode()


def saved_head(seq: int, epoch: str) -> bytes:
    return _SEQ.pack(seq) + epoch.encode()


def read_saved_head(head: bytes) -> SavedHead:
    return SavedHead(_SEQ.unpack_from(head)[0], head[_SEQ.size :].decode())
