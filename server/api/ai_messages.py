"""POST /api/send-ai-message: an AI service speaks."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server.api.errors import ApiError, error_responses, not_found
from server.core.clock import rfc3339
from server.core.inbound import check_text
from server.core.model import (
    MESSAGE_ID_CONFLICT,
    STORE_UNAVAILABLE,
    Conversation,
    Duplicate,
    Outcome,
    Refused,
)
from server.ports import StoreUnavailable
from server.protocol import ErrorCode, Identifier, MessageType
from server.runtime.conversations import Conversations
from server.runtime.delivery import Delivery, Save
from server.runtime.ids import IdMaker
from server.runtime.manager import ConnectionManager
from server.runtime.room import Room


class AIMessage(BaseModel):
    """What the AI says, into which conversation."""

    conversation_id: Identifier
    message: str
    message_id: Identifier | None = Field(None, description="Makes a repeated call harmless.")
    ai_id: Identifier | None = Field(None, description="Must be the conversation's AI, where given.")
    type: Literal["AI_RESPONSE"] = "AI_RESPONSE"
    simulate_typing: bool = False


class AIMessageAck(BaseModel):
    """Saved, and queued to `delivered_to` devices."""

    type: Literal["ACK"] = "ACK"
    message_id: str
    conversation_id: str
    seq: int
    timestamp: str
    data: str = "Message processed successfully"
    delivered_to: int
    duplicate: bool


class _RestAsker:
    """Implements Asker for a request."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[Outcome, int, bool]] = asyncio.get_running_loop().create_future()

    def settled(self, save: Save, outcome: Outcome, delivered_to: int, is_resend: bool) -> None:
        if not self.answer.done():
            self.answer.set_result((outcome, delivered_to, is_resend))


class AIMessages:
    """Saves and broadcasts what the AI says."""

    def __init__(
        self,
        manager: ConnectionManager,
        conversations: Conversations,
        delivery: Delivery,
        ids: IdMaker,
        max_length: int,
    ) -> None:
        self._manager = manager
        self._conversations = conversations
        self._delivery = delivery
        self._ids = ids
        self._max_length = max_length

    async def send(self, request: AIMessage) -> AIMessageAck:
        """Raises ApiError."""
        if (why := check_text(request.message, self._max_length)) is not None:
            raise ApiError(_about_message(why), request.message_id)
        room = self._manager.hold(request.conversation_id)
        try:
            conversation = await self._conversations.find(room)
            if conversation is None:
                raise not_found("conversation")
            self._check_ai(conversation, request)
            return await self._save(room, conversation, request)
        except (StoreUnavailable, TimeoutError):
            raise ApiError(STORE_UNAVAILABLE, request.message_id) from None
        finally:
            self._manager.release(room)

    def _check_ai(self, conversation: Conversation, request: AIMessage) -> None:
        if request.ai_id is not None and request.ai_id != conversation.ai["id"]:
            why = Refused(ErrorCode.CONFLICT, f"ai_id: the conversation's AI is {conversation.ai['id']}")
            raise ApiError(why, request.message_id)

    async def _save(self, room: Room, conversation: Conversation, request: AIMessage) -> AIMessageAck:
        now = time.monotonic()
        asker = _RestAsker()
        save = Save(
            conversation.key,
            request.message_id or self._ids.new(),
            MessageType.AI_RESPONSE,
            conversation.ai["id"],
            request.message,
            time.time_ns() // 1_000_000,
            now,
            room=room,
            askers=[(asker, now)],
        )
        self._submit(room, save)
        outcome, delivered_to, is_resend = await asker.answer
        if isinstance(outcome, Refused):
            raise ApiError(outcome, save.message_id)
        return AIMessageAck(
            message_id=save.message_id,
            conversation_id=conversation.id,
            seq=outcome.seq if isinstance(outcome, Duplicate) else outcome,
            timestamp=rfc3339(save.created_at),
            delivered_to=0 if is_resend else delivered_to,
            duplicate=is_resend or isinstance(outcome, Duplicate),
        )

    def _submit(self, room: Room, save: Save) -> None:
        """A repeated call whose first one is still being saved joins that save."""
        saving = room.saving.get(save.message_id) if room.saving else None
        if saving is None:
            self._delivery.submit(save)
        elif (saving.type, saving.sender, saving.data) == (save.type, save.sender, save.data):
            saving.askers += save.askers
        else:
            raise ApiError(MESSAGE_ID_CONFLICT, save.message_id)


def _about_message(why: Refused) -> Refused:
    """The field is called `message` here and `data` on the wire."""
    return why._replace(text=why.text.replace("data:", "message:", 1))


def ai_messages_router(ai_messages: AIMessages) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["AI"])

    @router.post("/send-ai-message", responses=error_responses(404, 409, 503))
    async def send_ai_message(request: Annotated[AIMessage, Field()]) -> AIMessageAck:
        """Saves the AI's message and broadcasts it to all devices of the conversation.

        Idempotent by `message_id`.
        """
        return await ai_messages.send(request)

    return router
