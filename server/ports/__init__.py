"""Declares what the runtime needs from outside. Each port has one contract suite for all implementations."""

from server.ports.backplane import (
    Backplane,
    BackplaneListener,
    BackplaneUnavailable,
    Beat,
    Channels,
    Entered,
    LeftSession,
    Member,
    Place,
    Rate,
    Registry,
)
from server.ports.responder import Responder, ResponderFailed
from server.ports.service import Notifier
from server.ports.socket import Socket, SocketUser
from server.ports.store import (
    Batch,
    Commit,
    ConversationStore,
    DoneCommit,
    MessageLog,
    MessageStore,
    PendingCommit,
    PositionStore,
    StoreUnavailable,
    TurnStore,
)

__all__ = [
    "Backplane",
    "BackplaneListener",
    "BackplaneUnavailable",
    "Batch",
    "Beat",
    "Channels",
    "Commit",
    "ConversationStore",
    "DoneCommit",
    "Entered",
    "LeftSession",
    "Member",
    "MessageLog",
    "MessageStore",
    "Notifier",
    "PendingCommit",
    "Place",
    "PositionStore",
    "Rate",
    "Registry",
    "Responder",
    "ResponderFailed",
    "Socket",
    "SocketUser",
    "StoreUnavailable",
    "TurnStore",
]
