"""Payloads of the frames that the server sends.

The frequent ones are put together by hand: identifiers need no escaping (see `Identifier`), so
only texts do. That costs a third of serialising a `WSMessage`; a test holds the two equal.
"""

import re
from typing import Any

from pydantic_core import to_json

from server.core.model import Draft, Refused, StoredMessage
from server.protocol import ACK_TEXT, SERVER_SENDER, ErrorInfo, MessageType, WSMessage

_TYPE_ENDS = 40  # bytes: a WebSocket header of ten at most, and the first field
# Behind the two to ten bytes of a WebSocket frame's head.
_read_beginning = re.compile(rb'.{2,10}?\{"type":"(\w+)","message_id":"([^"]+)"', re.DOTALL).match
_ACK_DATA = to_json(ACK_TEXT).decode()


def saved_message(conversation_id: str, seq: int, message: Draft | StoredMessage, timestamp: str) -> bytes:
    """A CHAT_MESSAGE or AI_RESPONSE, as broadcast and as in the history."""
    frame = (
        f'{{"type":"{message.type}","message_id":"{message.message_id}","conversation_id":"{conversation_id}",'
        f'"data":{to_json(message.data).decode()},"timestamp":"{timestamp}","sender":"{message.sender}","seq":{seq}'
    )
    if message.finish is not None:
        frame += f',"finish":"{message.finish}"'
    if message.client_timestamp is not None:
        frame += f',"client_timestamp":"{message.client_timestamp}"'
    return (frame + "}").encode()


def is_answer(frame: bytes) -> bool:
    """Tell whether the frame of a saved message is an AI_RESPONSE; its type comes first."""
    return b'"type":"AI_RESPONSE"' in frame[:_TYPE_ENDS]


def type_and_id(frame: bytes) -> tuple[str, str]:
    """Read the type and the message_id of a saved message's frame, which begin it."""
    found = _read_beginning(frame)
    assert found is not None
    return found[1].decode(), found[2].decode()


def ack(conversation_id: str, message_id: str, seq: int | None, duplicate: bool, timestamp: str) -> bytes:
    """The answer to a frame that was done; `seq` is that of a saved message."""
    extra = "" if seq is None else f',"seq":{seq},"duplicate":true' if duplicate else f',"seq":{seq}'
    return (
        f'{{"type":"ACK","message_id":"{message_id}","conversation_id":"{conversation_id}","data":{_ACK_DATA},'
        f'"timestamp":"{timestamp}","sender":"server"{extra}}}'
    ).encode()


def chunk(
    conversation_id: str, message_id: str, sender: str, timestamp: str, text: str, index: int, offset: int
) -> bytes:
    """An AI_RESPONSE_CHUNK: a piece of an answer that is still being written."""
    data = f'{{"text":{to_json(text).decode()},"index":{index},"offset":{offset}}}'
    return (
        f'{{"type":"AI_RESPONSE_CHUNK","message_id":"{message_id}","conversation_id":"{conversation_id}",'
        f'"data":{data},"timestamp":"{timestamp}","sender":"{sender}"}}'
    ).encode()


def refusal(conversation_id: str, message_id: str | None, why: Refused, timestamp: str, new_id: str) -> bytes:
    """A NACK of the frame with that message_id; an ERROR, under an id of its own, where there is none."""
    return WSMessage(
        type=MessageType.ERROR if message_id is None else MessageType.NACK,
        message_id=message_id or new_id,
        conversation_id=conversation_id,
        data=why.text,
        timestamp=timestamp,
        sender=SERVER_SENDER,
        error=ErrorInfo(code=why.code, retryable=why.code.retryable, retry_after=why.retry_after),
    ).to_json()


def signal(
    type: MessageType,
    conversation_id: str,
    message_id: str,
    data: Any,
    timestamp: str,
    sender: str = SERVER_SENDER,
) -> bytes:
    """Any frame that is not saved: SYSTEM, PING, TYPING_INDICATOR and the like."""
    return WSMessage(
        type=type,
        message_id=message_id,
        conversation_id=conversation_id,
        data=data,
        timestamp=timestamp,
        sender=sender,
    ).to_json()
