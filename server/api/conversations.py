"""Conversations and matches as resources."""

import hashlib
import uuid
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from server.api.bodies import StrictJsonRoute
from server.api.errors import ApiError, error_responses, not_found, write_responses
from server.api.history import FRAME_EXAMPLE, frame_of
from server.api.lists import list_answer
from server.core.model import Conversation, Refused, Summary
from server.ports import MessageStore
from server.protocol import AI, MAX_LISTED, ErrorCode, Identifier, Party, is_identifier
from server.runtime.messages.conversations import Conversations
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.signals.announcer import Announcer

log = structlog.get_logger()

_AI_EXAMPLE: Final[dict[str, JsonValue]] = {"id": "ai_alex", "name": "Alex"}
_MAX_AI_BYTES: Final = 4096  # it goes out with every welcome and stands in every list


def _keep_small(ai: AI) -> AI:
    if len(ai.model_dump_json().encode()) > _MAX_AI_BYTES:
        raise PydanticCustomError("ai_too_long", f"must not be longer than {_MAX_AI_BYTES} bytes as JSON")
    return ai


class NewConversationRequest(BaseModel):
    """Who talks to whom. Further keys of `ai` are kept and shown to the clients; it may have 4 KiB."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "user123", "ai": _AI_EXAMPLE, "conversation_id": "conv_user123_ai_alex"}]
        }
    )

    user_id: Party
    ai: Annotated[AI, AfterValidator(_keep_small)]
    conversation_id: Identifier | None = Field(None, description="The server makes one where it is absent.")


class ConversationView(BaseModel):
    """One conversation as its user sees it in a list."""

    conversation_id: str = Field(examples=["conv_user123_ai_alex"])
    user_id: str = Field(examples=["user123"])
    ai: dict[str, Any] = Field(examples=[_AI_EXAMPLE])
    last_seq: int = Field(description="The newest message's seq; 0 before the first.", examples=[12])
    last_message: dict[str, Any] | None = Field(description="Its frame.", examples=[FRAME_EXAMPLE])
    last_read_seq: int = Field(description="How far the user has read.", examples=[10])
    last_ai_read_seq: int = Field(description="How far the AI has read.", examples=[11])
    last_answered_seq: int = Field(description="How far the responder has answered.", examples=[11])
    unread: int = Field(description="AI messages beyond last_read_seq.", examples=[1])

    @classmethod
    def of(cls, summary: Summary) -> "ConversationView":
        conversation, last, read, ai_read, answered, unread = summary
        return cls(
            conversation_id=conversation.id,
            user_id=conversation.user_id,
            ai=conversation.ai,
            last_seq=conversation.last_seq,
            last_message=None if last is None else frame_of(conversation.id, last),
            last_read_seq=read,
            last_ai_read_seq=ai_read,
            last_answered_seq=answered,
            unread=unread,
        )


class ConversationList(BaseModel):
    """The one with the newest message first."""

    items: list[ConversationView]
    has_more: bool


class ConversationResource:
    """Creates, shows and deletes. Its methods raise ApiError, StoreUnavailable."""

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

    async def create(self, request: NewConversationRequest) -> tuple[ConversationView, bool]:
        """Returns the conversation, and whether it was made just now: only then its user is told."""
        conversation, is_new = await self._make(request, request.conversation_id or _new_id())
        if is_new:
            self._announcer.conversation_created(conversation)
        return await self.show(conversation.id), is_new

    async def match(self, request: NewConversationRequest) -> tuple[ConversationView, bool]:
        """Does the same for a match. Without a conversation_id a user has one with each AI."""
        if request.conversation_id is None:
            conversation, is_new = await self._make_or_find(request)
        else:
            conversation, is_new = await self._make(request, request.conversation_id)
        if is_new:
            self._announcer.new_match(conversation)
            self._announcer.conversation_created(conversation)
        return await self.show(conversation.id), is_new

    async def list(self, user_id: str, limit: int) -> Response:
        """Returns a ConversationList."""
        found = await self._store.summaries(user_id, limit + 1)
        return await list_answer(found[:limit], _encode, has_more=len(found) > limit)

    async def show(self, conversation_id: str) -> ConversationView:
        if is_identifier(conversation_id) and (summary := await self._store.summary(conversation_id)):
            return ConversationView.of(summary)
        raise not_found("conversation")

    async def delete(self, conversation_id: str) -> None:
        await self.show(conversation_id)
        await self._conversations.delete([conversation_id])
        log.info("conversation deleted", conversation_id=conversation_id)

    async def _make_or_find(self, request: NewConversationRequest) -> tuple[Conversation, bool]:
        """The id made of both names lets two calls at once, on whatever nodes, make one conversation."""
        for known, *_ in await self._store.summaries(request.user_id, MAX_LISTED):
            if known.ai["id"] == request.ai.id:
                return known, False
        try:
            return await self._make(request, _id_of_match(request))
        except ApiError:  # somebody else has taken that id
            return await self._make(request, _new_id())

    async def _make(self, request: NewConversationRequest, conversation_id: str) -> tuple[Conversation, bool]:
        room = self._manager.hold(conversation_id)
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


def _encode(summary: Summary) -> bytes:
    return ConversationView.of(summary).model_dump_json().encode()


def _new_id() -> str:
    return f"conv_{uuid.uuid4()}"


def _id_of_match(request: NewConversationRequest) -> str:
    names = f"{request.user_id} {request.ai.id}"  # no identifier has a space in it
    return f"conv_{hashlib.sha256(names.encode()).hexdigest()[:32]}"


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
        """Creates a match's conversation; the user's devices get NEW_MATCH and CONVERSATION_CREATED.

        Without a conversation_id the user's conversation with that AI is the one that is there: 200.
        """
        view, is_new = await resource.match(request)
        response.status_code = 201 if is_new else 200
        return view

    @router.get("/conversations", responses=error_responses(503), response_model=ConversationList)
    async def list_of_user(
        user_id: Annotated[Identifier, Query(examples=["user123"])],
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 200,
    ) -> Response:
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
