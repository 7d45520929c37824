"""Conversations and matches as resources."""

import uuid
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from server.api.bodies import StrictJsonRoute
from server.api.errors import ApiError, error_responses, not_found, write_responses
from server.api.history import FRAME_EXAMPLE, frame_of
from server.core.model import Conversation, Refused, Summary
from server.ports import MessageStore
from server.protocol import AI, ErrorCode, Identifier, is_identifier
from server.runtime.announcer import Announcer
from server.runtime.conversations import Conversations
from server.runtime.manager import ConnectionManager

_AI_EXAMPLE: Final[dict[str, JsonValue]] = {"id": "ai_alex", "name": "Alex"}
_MAX_LISTED: Final = 1000


class NewConversationRequest(BaseModel):
    """Who talks to whom. Further keys of `ai` are kept and shown to the clients."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "user123", "ai": _AI_EXAMPLE, "conversation_id": "conv_user123_ai_alex"}]
        }
    )

    user_id: Identifier
    ai: AI
    conversation_id: Identifier | None = Field(None, description="The server makes one where it is absent.")


class ConversationView(BaseModel):
    """One conversation as its user sees it in a list."""

    conversation_id: str = Field(examples=["conv_user123_ai_alex"])
    user_id: str = Field(examples=["user123"])
    ai: dict[str, Any] = Field(examples=[_AI_EXAMPLE])
    last_seq: int = Field(description="The newest message's seq; 0 before the first.", examples=[12])
    last_message: dict[str, Any] | None = Field(description="Its frame.", examples=[FRAME_EXAMPLE])
    last_read_seq: int = Field(description="How far the user has read.", examples=[10])
    unread: int = Field(description="AI messages beyond last_read_seq.", examples=[1])

    @classmethod
    def of(cls, summary: Summary) -> "ConversationView":
        conversation, last, read, unread = summary
        return cls(
            conversation_id=conversation.id,
            user_id=conversation.user_id,
            ai=conversation.ai,
            last_seq=conversation.last_seq,
            last_message=None if last is None else frame_of(conversation.id, last),
            last_read_seq=read,
            unread=unread,
        )


class ConversationList(BaseModel):
    """The one with the newest message first."""

    items: list[ConversationView]
    has_more: bool


class ConversationResource:
    """Creates, shows and deletes. Its methods raise ApiError, StoreUnavailable, TimeoutError."""

    def __init__(
        self,
        manager: ConnectionManager,
        conversations: Conversations,
        store: MessageStore,
        announcer: Announcer,
    ) -> None:
        self._manager = manager
        self._conversations = conversations
        self._store = store
        self._announcer = announcer

    async def create(
        self, request: NewConversationRequest, is_match: bool = False
    ) -> tuple[ConversationView, bool]:
        """The conversation, and whether it was made just now: only then its user is told."""
        conversation, is_new = await self._make(request)
        if is_new and is_match:
            self._announcer.new_match(conversation)
        if is_new:
            self._announcer.conversation_created(conversation)
        return await self.show(conversation.id), is_new

    async def list(self, user_id: str, limit: int) -> ConversationList:
        found = await self._store.summaries(user_id, limit + 1)
        return ConversationList(
            items=[ConversationView.of(summary) for summary in found[:limit]], has_more=len(found) > limit
        )

    async def show(self, conversation_id: str) -> ConversationView:
        if is_identifier(conversation_id) and (summary := await self._store.summary(conversation_id)):
            return ConversationView.of(summary)
        raise not_found("conversation")

    async def delete(self, conversation_id: str) -> None:
        await self.show(conversation_id)
        await self._conversations.delete([conversation_id])

    async def _make(self, request: NewConversationRequest) -> tuple[Conversation, bool]:
        room = self._manager.hold(request.conversation_id or f"conv_{uuid.uuid4()}")
        try:
            conversation, is_new = await self._conversations.find(room), False
            if conversation is None:
                conversation, is_new = await self._conversations.create(
                    room, request.user_id, request.ai.model_dump()
                )
        finally:
            self._manager.release(room)
        if conversation.user_id != request.user_id:
            raise _conflict("conversation_id: it is taken")
        if conversation.ai["id"] != request.ai.id:
            raise _conflict(f"ai.id: the conversation's AI is {conversation.ai['id']}")
        return conversation, is_new


def _conflict(text: str) -> ApiError:
    return ApiError(Refused(ErrorCode.CONFLICT, text))


def conversations_router(resource: ConversationResource) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["conversations"], route_class=StrictJsonRoute)
    existing: dict[int | str, dict[str, Any]] = {
        200: {"model": ConversationView, "description": "The same conversation existed already"}
    }

    @router.post("/conversations", status_code=201, responses=existing | write_responses(409))
    async def create(request: NewConversationRequest, response: Response) -> ConversationView:
        """Creates a conversation and sends CONVERSATION_CREATED to the user's devices.

        200 when the same exists already, 409 when it is another user's or has another AI.
        """
        view, is_new = await resource.create(request)
        response.status_code = 201 if is_new else 200
        return view

    @router.post("/matches", status_code=201, responses=existing | write_responses(409))
    async def match(request: NewConversationRequest, response: Response) -> ConversationView:
        """Creates a match's conversation; the user's devices get NEW_MATCH and CONVERSATION_CREATED."""
        view, is_new = await resource.create(request, is_match=True)
        response.status_code = 201 if is_new else 200
        return view

    @router.get("/conversations", responses=error_responses(503))
    async def list_of_user(
        user_id: Annotated[Identifier, Query(examples=["user123"])],
        limit: Annotated[int, Query(ge=1, le=_MAX_LISTED)] = 200,
    ) -> ConversationList:
        """A user's conversations with their last message and unread count, the most recent first."""
        return await resource.list(user_id, limit)

    @router.get("/conversations/{conversation_id}", responses=error_responses(404, 503))
    async def show(conversation_id: str) -> ConversationView:
        """One conversation."""
        return await resource.show(conversation_id)

    @router.delete("/conversations/{conversation_id}", status_code=204, responses=write_responses(404))
    async def delete(conversation_id: str) -> None:
        """Removes a conversation with all its messages and positions; its devices are closed (1000)."""
        await resource.delete(conversation_id)

    return router
