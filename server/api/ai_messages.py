"""POST /api/send-ai-message: an AI service speaks."""

from typing import Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from server.api.ai_room import AIRooms
from server.api.bodies import StrictJsonRoute, Text
from server.api.errors import ApiError, write_responses
from server.core.inbound import check_text
from server.core.model import STORE_UNAVAILABLE, Refused
from server.core.timestamps import rfc3339
from server.ports import StoreUnavailable
from server.protocol import ACK_TEXT, ErrorCode, Finish, Identifier, answered_seq_of
from server.runtime.answers.ai_speech import AISpeech, Spoken
from server.runtime.answers.streams import Streams
from server.runtime.base.ids import IdMaker
from server.runtime.rooms.room import Room

TURN_ANSWERED: Final = Refused(
    ErrorCode.CONFLICT, "message_id: that turn was answered under another id, or cancelled"
)


class AIMessage(BaseModel):
    """What the AI says, into which conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"conversation_id": "conv_user123_ai_alex", "message": "Hey! How was your day?"}]
        }
    )

    conversation_id: Identifier
    message: Text
    message_id: Identifier | None = Field(None, description="Makes a repeated call harmless.")
    ai_id: Identifier | None = Field(None, description="Must be the conversation's AI, where given.")
    type: Literal["AI_RESPONSE"] = "AI_RESPONSE"
    simulate_typing: StrictBool = Field(False, description="Shows the AI typing for a random time first.")


class AIMessageAck(BaseModel):
    """Saved, and queued to `delivered_to` devices."""

    type: Literal["ACK"] = "ACK"
    message_id: str = Field(examples=["5f0c1a3b-77a1-4f0e-8a34-1f0c3d1e9b11"])
    conversation_id: str = Field(examples=["conv_user123_ai_alex"])
    seq: int | None = Field(description="Absent where a cancelled answer had shown nothing.", examples=[13])
    timestamp: str = Field(examples=["2026-01-15T10:30:04.511Z"])
    data: str = ACK_TEXT
    delivered_to: int = Field(description="Devices that it was queued to.", examples=[2])
    duplicate: bool = Field(description="It had been saved before, by an earlier call.")
    finish: Finish | None = Field(None, description="Why the message is not whole; absent on whole ones.")


class AIMessages:
    """Saves and broadcasts what the AI says."""

    def __init__(
        self, rooms: AIRooms, speech: AISpeech, streams: Streams, ids: IdMaker, max_length: int
    ) -> None:
        self._rooms = rooms
        self._streams = streams
        self._speech = speech
        self._ids = ids
        self._max_length = max_length

    async def send(self, request: AIMessage) -> AIMessageAck:
        """Raises ApiError."""
        if (why := check_text(request.message, self._max_length)) is not None:
            raise ApiError(_about_message(why), request.message_id)
        message_id = request.message_id or self._ids.new()
        try:
            async with self._rooms.held(request.conversation_id, request.ai_id, request.message_id) as room:
                if request.simulate_typing and await self._speech.find(room, message_id) is None:
                    await self._speech.show_typing(room)
                answers = answered_turn(room, message_id)
                self._streams.silence(room, message_id)
                spoken = await self._speech.say(room, message_id, request.message, answers=answers)
        except StoreUnavailable:
            raise ApiError(STORE_UNAVAILABLE, request.message_id) from None
        if isinstance(spoken, Refused):
            raise ApiError(spoken, message_id)
        check_answer(spoken, message_id)
        return _ack(room, message_id, spoken)


def _ack(room: Room, message_id: str, spoken: Spoken) -> AIMessageAck:
    return AIMessageAck(
        message_id=message_id,
        conversation_id=room.conversation_id,
        seq=spoken.seq,
        timestamp=rfc3339(spoken.at),
        delivered_to=spoken.delivered_to,
        duplicate=spoken.duplicate,
    )


def answered_turn(room: Room, message_id: str) -> int | None:
    """Return the seq of the turn that an id answers; None where it names none that there is."""
    seq = answered_seq_of(message_id)
    return seq if seq is not None and seq <= room.last_seq else None


def check_answer(spoken: Spoken | None, message_id: str) -> None:
    """Refuse an answer to a turn that was answered under another id, or that the user cancelled.

    Raises ApiError.
    """
    if spoken is not None and spoken.duplicate and not spoken.seq:
        raise ApiError(TURN_ANSWERED, message_id)


def _about_message(why: Refused) -> Refused:
    """The field is called `message` here and `data` on the wire."""
    return why._replace(text=why.text.replace("data:", "message:", 1))


def ai_messages_router(ai_messages: AIMessages) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["AI"], route_class=StrictJsonRoute)

    @router.post("/send-ai-message", response_model_exclude_none=True, responses=write_responses(404, 409))
    async def send_ai_message(request: AIMessage) -> AIMessageAck:
        """Saves the AI's message and broadcasts it to all devices of the conversation.

        Idempotent by `message_id`.
        """
        return await ai_messages.send(request)

    return router
