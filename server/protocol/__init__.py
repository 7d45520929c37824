"""The contract with every client: wire models, types, codes. Nothing of the server's logic."""

from server.protocol.closing import ABNORMAL_CLOSURE, CloseCode, reconnects_after
from server.protocol.identifiers import (
    IDENTIFIER_RULE,
    Identifier,
    Party,
    ai_id_of,
    ai_name_of,
    answer_id,
    answered_seq_of,
    is_identifier,
    is_party,
)
from server.protocol.limits import MAX_LISTED, MAX_PAGE
from server.protocol.messages import AI, ClientFrame, ErrorInfo, Gap, RateLimit, Welcome, WSMessage
from server.protocol.types import (
    ACK_TEXT,
    PROTOCOL_VERSION,
    SERVER_SENDER,
    ErrorCode,
    Finish,
    MessageType,
)

__all__ = [
    "ABNORMAL_CLOSURE",
    "ACK_TEXT",
    "AI",
    "IDENTIFIER_RULE",
    "MAX_LISTED",
    "MAX_PAGE",
    "PROTOCOL_VERSION",
    "SERVER_SENDER",
    "ClientFrame",
    "CloseCode",
    "ErrorCode",
    "ErrorInfo",
    "Finish",
    "Gap",
    "Identifier",
    "MessageType",
    "Party",
    "RateLimit",
    "WSMessage",
    "Welcome",
    "ai_id_of",
    "ai_name_of",
    "answer_id",
    "answered_seq_of",
    "is_identifier",
    "is_party",
    "reconnects_after",
]
