"""GET /api/conversations/{id}/messages: the history, a page at a time."""

import json
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from server.api.errors import ApiError, error_responses, not_found
from server.api.lists import list_answer
from server.core import payloads
from server.core.model import Conversation, Refused, StoredMessage
from server.core.timestamps import rfc3339
from server.ports import MessageStore
from server.protocol import MAX_PAGE, ErrorCode, is_identifier
from server.runtime.messages.trace import MessageTrace

_SEQ = Query(ge=0, le=1 << 53, include_in_schema=False)
_A_SEQ: Final = {"type": "integer", "minimum": 0, "maximum": 1 << 53}
# Two parameters of which one at most may be given: only as the fields of one object can that be described.
_POSITION: Final = {
    "name": "position",
    "in": "query",
    "style": "form",
    "explode": True,
    "description": "`after_seq=12` or `before_seq=12`.",
    "schema": {
        "type": "object",
        "properties": {"after_seq": _A_SEQ, "before_seq": _A_SEQ},
        "not": {"required": ["after_seq", "before_seq"]},
    },
}
FRAME_EXAMPLE: Final = {
    "type": "CHAT_MESSAGE",
    "message_id": "0b8f4e6a-5c1d-4f0e-9a8e-3f6f3c0a9d11",
    "conversation_id": "conv_user123_ai_alex",
    "data": "Hey, how are you?",
    "timestamp": "2026-01-15T10:30:00.123Z",
    "sender": "user123",
    "seq": 12,
}


class MessagePage(BaseModel):
    """Frames, ascending by seq."""

    items: list[dict[str, Any]] = Field(examples=[[FRAME_EXAMPLE]])
    has_more: bool = Field(description="Whether there are more beyond this page, in its direction.")


class Trace(BaseModel):
    """One message's way through the server."""

    message: dict[str, Any] = Field(description="Its broadcast frame.", examples=[FRAME_EXAMPLE])
    seq: int = Field(examples=[12])
    events: list[dict[str, Any]] = Field(
        description="`at`, `event` (received, saved, broadcast, acked, handed_over) and details.",
        examples=[[{"at": "2026-01-15T10:30:00.123Z", "event": "saved", "seq": 12}]],
    )


class History:
    """Reads pages from the store, as frames."""

    def __init__(self, store: MessageStore, trail: MessageTrace) -> None:
        self._store = store
        self._trail = trail

    async def page(self, conversation_id: str, after: int | None, before: int | None, limit: int) -> Response:
        """Returns a MessagePage. Raises ApiError."""
        conversation = await self._conversation(conversation_id)
        if after is not None:
            found = await self._store.history(conversation.key, after, limit + 1)
            page = found[:limit]
        else:
            found = await self._store.history_before(conversation.key, before, limit + 1)
            page = found[-limit:]
        return await list_answer(page, partial(frame_bytes, conversation_id), has_more=len(found) > limit)

    async def trace(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        """`{"message","seq","events"}`. Raises ApiError."""
        conversation = await self._conversation(conversation_id)
        message = None
        if is_identifier(message_id):
            message = await self._store.find_message(conversation.key, message_id)
        if message is None:
            raise not_found("message")
        events = self._trail.of(conversation.key, message_id, message.seq)
        if not any(event["event"] == "saved" for event in events):
            stored = {"at": rfc3339(message.created_at), "event": "saved", "seq": message.seq}
            events.insert(0, stored)  # that much the store knows of any message
        return {"message": frame_of(conversation_id, message), "seq": message.seq, "events": events}

    async def _conversation(self, conversation_id: str) -> Conversation:
        if is_identifier(conversation_id) and (found := await self._store.find_conversation(conversation_id)):
            return found
        raise not_found("conversation")


def frame_of(conversation_id: str, message: StoredMessage) -> dict[str, Any]:
    """A saved message as its broadcast frame."""
    frame: dict[str, Any] = json.loads(frame_bytes(conversation_id, message))
    return frame


def frame_bytes(conversation_id: str, message: StoredMessage) -> bytes:
    """The same, as it is sent."""
    return payloads.saved_message(conversation_id, message.seq, message, rfc3339(message.created_at))


def history_router(history: History) -> APIRouter:
    router = APIRouter(prefix="/api/conversations", tags=["conversations"])

    @router.get(
        "/{conversation_id}/messages",
        responses=error_responses(404, 503),
        response_model=MessagePage,
        openapi_extra={"parameters": [_POSITION]},
    )
    async def messages(
        conversation_id: str,
        after_seq: Annotated[int | None, _SEQ] = None,
        before_seq: Annotated[int | None, _SEQ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> Response:
        """Ascending by seq: the page above `after_seq`, the one below `before_seq`, or the newest."""
        if after_seq is not None and before_seq is not None:
            raise ApiError(
                Refused(ErrorCode.VALIDATION_FAILED, "after_seq and before_seq: only one of them is allowed")
            )
        return await history.page(conversation_id, after_seq, before_seq, limit)

    @router.get("/{conversation_id}/messages/{message_id}", responses=error_responses(404, 503))
    async def message(conversation_id: str, message_id: str) -> Trace:
        """What became of one message: from the store, and from the events that are still kept."""
        return Trace(**await history.trace(conversation_id, message_id))

    return router
