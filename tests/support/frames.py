"""Frames as a server sends them, for tests in which the server is scripted."""

import json
from typing import Any

from server.protocol import ErrorCode


def frame(type_: str, **fields: Any) -> str:
    return json.dumps({"type": type_, "conversation_id": "c", "sender": "u", **fields})


def welcome(last_seq: int = 0, **data: Any) -> str:
    said = {
        "event": "connected",
        "protocol": 1,
        "user_id": "u",
        "client_id": "d",
        "session_id": "s",
        "connection_id": "k",
        "last_seq": last_seq,
        "epoch": "e1",
        "resumed": False,
        "recovered": 0,
        "gap": None,
        "heartbeat_interval": 30.0,
        "heartbeat_timeout": 60.0,
        "ack_timeout": 10.0,
        "max_text_length": 4000,
        "rate_limit": None,
        "ai": {"id": "ai", "name": "AI"},
        "devices": 1,
    }
    return frame("SYSTEM", data=said | data)


def chat(seq: int, message_id: str | None = None, sender: str = "u") -> str:
    return frame("CHAT_MESSAGE", message_id=message_id or f"m{seq}", seq=seq, data="text", sender=sender)


def ack(message_id: str, seq: int, **fields: Any) -> str:
    return frame("ACK", message_id=message_id, seq=seq, data="Message processed successfully", **fields)


def nack(message_id: str, code: ErrorCode, retry_after: float | None = None) -> str:
    error = {"code": code, "retryable": code.retryable, "retry_after": retry_after}
    return frame("NACK", message_id=message_id, data="no", error=error)
