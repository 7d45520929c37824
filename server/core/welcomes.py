"""The payload of the first frame on every connection, put together by hand.

After an outage everybody comes back at once, and to validate a `Welcome`, its dictionary and its `WSMessage`
costs more than all else that a device's joining decides. A test holds the payload equal to theirs.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from server.core.model import Conversation
from server.core.recovery import Replay
from server.protocol import PROTOCOL_VERSION, Gap


class Welcomes:
    """Makes the welcomes of one server. Identifiers need no escaping."""

    def __init__(self, terms: Mapping[str, Any]) -> None:
        """`terms`: the fields of Welcome that are the same for all devices, in their order there."""
        self._terms = to_json(terms).decode()[1:-1]

    def payload(
        self,
        conversation: Conversation,
        ai_status: str,
        client_id: str,
        session_id: str,
        connection_id: str,
        resumed: bool,
        last_seq: int,
        replay: Replay,
        devices: int,
        message_id: str,
        timestamp: str,
    ) -> bytes:
        """Return the SYSTEM message with event `connected`; `last_seq` is the conversation's by now."""
        ai = to_json({**conversation.ai, "status": ai_status}).decode()
        return (
            f'{{"type":"SYSTEM","message_id":"{message_id}","conversation_id":"{conversation.id}","data":{{'
            f'"event":"connected","protocol":{PROTOCOL_VERSION},"user_id":"{conversation.user_id}",'
            f'"client_id":"{client_id}","session_id":"{session_id}","connection_id":"{connection_id}",'
            f'"last_seq":{last_seq},"epoch":"{conversation.epoch}",'
            f'"resumed":{"true" if resumed else "false"},"recovered":{last_seq - replay.after},'
            f'"gap":{_gap(replay.gap)},{self._terms},'
            f'"ai":{ai},"devices":{devices}}},"timestamp":"{timestamp}","sender":"server"}}'
        ).encode()


def _gap(gap: Gap | None) -> str:
    return "null" if gap is None else f'{{"from":{gap.first},"to":{gap.last}}}'
