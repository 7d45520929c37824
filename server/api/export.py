"""GET /api/users/{id}/export: everything kept about a user, as JSON lines."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from server.api.errors import error_responses, not_found
from server.api.history import frame_bytes
from server.core.model import Conversation, StoredMessage, Summary
from server.ports import MessageStore
from server.protocol import MAX_PAGE, MessageType, is_identifier

log = structlog.get_logger()

_MEDIA_TYPE: Final = "application/x-ndjson"
_EXAMPLE: Final = (
    '{"kind":"user","user_id":"user123"}\n'
    '{"kind":"conversation","conversation_id":"conv_user123_ai_alex","ai":{"id":"ai_alex","name":"Alex"},'
    '"last_seq":1,"last_read_seq":0,"last_ai_read_seq":1,"last_answered_seq":0}\n'
    '{"kind":"message","ai_generated":false,"type":"CHAT_MESSAGE","message_id":"m1","seq":1,"data":"Hey"}\n'
)


class UserExport:
    """Reads page after page while the caller takes it: however much it is, little is in memory."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def conversations_of(self, user_id: str) -> list[str]:
        """Raises StoreUnavailable."""
        return await self._store.conversations_of(user_id)

    async def lines(self, user_id: str, conversation_ids: list[str]) -> AsyncIterator[bytes]:
        """Yield the user, then each conversation with its positions and its messages, in their order.

        Raises StoreUnavailable: then the answer breaks off, and whoever reads it sees that it is not whole.
        """
        yield _line({"kind": "user", "user_id": user_id})
        for conversation_id in conversation_ids:
            summary = await self._store.summary(conversation_id)
            if summary is not None:  # not deleted meanwhile
                yield _line(_conversation(summary))
                async for messages in self._messages(summary.conversation):
                    yield messages

    async def _messages(self, conversation: Conversation) -> AsyncIterator[bytes]:
        after = 0
        while page := await self._store.history(conversation.key, after, MAX_PAGE):
            after = page[-1].seq
            yield b"".join(_message_line(conversation.id, message) for message in page)


def _message_line(conversation_id: str, message: StoredMessage) -> bytes:
    """The frame with two fields before its own: it is not read and written anew, page after page."""
    is_ai = b"true" if message.type is MessageType.AI_RESPONSE else b"false"
    frame = frame_bytes(conversation_id, message)
    return b'{"kind":"message","ai_generated":' + is_ai + b"," + frame.removeprefix(b"{") + b"\n"


def _conversation(summary: Summary) -> dict[str, Any]:
    conversation = summary.conversation
    return {
        "kind": "conversation",
        "conversation_id": conversation.id,
        "ai": conversation.ai,
        "last_seq": conversation.last_seq,
        "last_read_seq": summary.last_read_seq,
        "last_ai_read_seq": summary.last_ai_read_seq,
        "last_answered_seq": summary.last_answered_seq,
    }


def _line(item: dict[str, Any]) -> bytes:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def export_router(export: UserExport) -> APIRouter:
    router = APIRouter(prefix="/api/users", tags=["users"])
    content = {"description": "One JSON object a line", "content": {_MEDIA_TYPE: {"example": _EXAMPLE}}}

    @router.get(
        "/{user_id}/export",
        response_class=StreamingResponse,
        responses={200: content, **error_responses(404, 503)},
    )
    async def export_user(user_id: str) -> StreamingResponse:
        """Everything kept about a user, as JSON lines: conversations with positions, and their messages.

        Each line has a `kind`: user, conversation or message (its frame, with `ai_generated`).
        """
        if not is_identifier(user_id):
            raise not_found("user")
        conversation_ids = await export.conversations_of(user_id)
        log.info("user exported", user_id=user_id, conversations=len(conversation_ids))
        return StreamingResponse(export.lines(user_id, conversation_ids), media_type=_MEDIA_TYPE)

    return router
