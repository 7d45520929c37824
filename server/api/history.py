"""GET /api/conversations/{id}/messages: the history, a page at a time."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from server.api.errors import ApiError, error_responses, not_found
from server.core import frames
from server.core.clock import rfc3339
from server.core.model import STORE_UNAVAILABLE, Refused, StoredMessage
from server.ports import MessageStore, StoreUnavailable
from server.protocol import ErrorCode, is_identifier

MAX_PAGE = 200
_SEQ = Query(ge=0, le=1 << 53)


class History:
    """Reads pages from the store, as frames."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def page(self, conversation_id: str, after: int | None, before: int | None, limit: int) -> bytes:
        """`{"items":[frames],"has_more":...}`. Raises ApiError."""
        conversation = None
        if is_identifier(conversation_id):
            conversation = await self._store.find_conversation(conversation_id)
        if conversation is None:
            raise not_found("conversation")
        if after is not None:
            found = await self._store.history(conversation.key, after, limit + 1)
            page = found[:limit]
        else:
            found = await self._store.history_before(conversation.key, before, limit + 1)
            page = found[-limit:]
        items = b",".join(_frame(conversation_id, message) for message in page)
        has_more = b"true" if len(found) > limit else b"false"
        return b'{"items":[' + items + b'],"has_more":' + has_more + b"}"


def _frame(conversation_id: str, message: StoredMessage) -> bytes:
    return frames.saved_message(conversation_id, message.seq, message, rfc3339(message.created_at))


def history_router(history: History) -> APIRouter:
    router = APIRouter(prefix="/api/conversations", tags=["conversations"])

    @router.get(
        "/{conversation_id}/messages", responses=error_responses(404, 503), response_model=dict[str, Any]
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
        try:
            body = await history.page(conversation_id, after_seq, before_seq, limit)
        except (StoreUnavailable, TimeoutError):
            raise ApiError(STORE_UNAVAILABLE) from None
        return Response(body, media_type="application/json")

    return router
