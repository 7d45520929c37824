"""What is POSTed to the AI service: names, bodies and signatures, by Standard Webhooks 1.0."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic_core import from_json, to_json

from server.core.model import Conversation, StoredMessage
from server.core.payloads import saved_message
from server.core.timestamps import rfc3339
from server.core.turn_rules import Turn

_PREFIX: Final = "whsec_"


def bare(secret: str) -> str:
    """Return a secret without its `whsec_`."""
    return secret.removeprefix(_PREFIX)


def key_of(secret: str) -> bytes:
    """Decode a secret, `whsec_` and base64. Raises ValueError."""
    return base64.b64decode(bare(secret), validate=True)


def signature(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Sign with each key, so that a receiver who knows any of them can verify it; "" without keys."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def turn_id(turn: Turn) -> str:
    """Name a turn, the same at every try. A turn whose messages changed has another name."""
    return f"turn_{_dotless(turn.conversation.epoch)}_{turn.messages[0].seq}_{turn.last_seq}"


def undelivered_id(conversation: Conversation, seq: int) -> str:
    """Name the news that nobody was there for a message, the same at every try."""
    return f"undelivered_{_dotless(conversation.epoch)}_{seq}"


def turn_body(turn: Turn, now: int) -> bytes:
    """Write a turn as the service gets it; `now` in ms since the epoch."""
    data = event_data(turn.conversation)
    messages = _frames(turn.conversation, turn.messages)
    data["messages"], data["message"] = messages, messages[-1]
    data["history"] = _frames(turn.conversation, turn.history)
    if turn.is_replayed:
        data["replayed"] = True
    return event_body("message", data, now)


def undelivered_data(conversation: Conversation, message: StoredMessage) -> dict[str, Any]:
    """Make the data of the news that nobody was there for a message."""
    return event_data(conversation) | {"message": _frames(conversation, [message])[0]}


def event_body(event: str, data: dict[str, Any], now: int) -> bytes:
    """Write an event; `now` in ms since the epoch."""
    return to_json({"type": event, "timestamp": rfc3339(now), "data": data})


def event_data(conversation: Conversation) -> dict[str, Any]:
    """Make the data that every event has: whose conversation it is about."""
    return {
        "conversation_id": conversation.id,
        "user_id": conversation.user_id,
        "ai_id": conversation.ai["id"],
    }


def _frames(conversation: Conversation, messages: Sequence[StoredMessage]) -> list[Any]:
    return [
        from_json(saved_message(conversation.id, message.seq, message, rfc3339(message.created_at)))
        for message in messages
    ]


def _dotless(text: str) -> str:
    """A dot ends the id in what is signed."""
    return text.replace(".", "_")
