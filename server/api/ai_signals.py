"""What an AI service shows beside its messages: typing, reading, its status."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from server.api.ai_room import AIRooms
from server.api.bodies import Positive, StrictJsonRoute, one_of
from server.api.errors import ApiError, not_found, write_responses
from server.api.operations import Told
from server.core.model import Refused
from server.core.signal_data import ReadUpTo
from server.protocol import ErrorCode, Identifier
from server.runtime.signals.ai_status import AIStatus, AIStatuses
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.typing import TypingRelay

_AI_ID = Field(None, description="Must be the conversation's AI, where given.")


class AITyping(BaseModel):
    """The AI begins or ends to type."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"conversation_id": "conv_user123_ai_alex", "is_typing": True}]}
    )

    conversation_id: Identifier
    is_typing: StrictBool
    ai_id: Identifier | None = _AI_ID


class AIReceipt(BaseModel):
    """The AI has read up to a message, named by its id or seq."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"conversation_id": "conv_user123_ai_alex", "seq": 12}],
            **one_of("message_id", "seq"),
        }
    )

    conversation_id: Identifier
    message_id: Identifier | None = None
    seq: Positive | None = Field(None, description="Beyond the newest means the newest.")
    ai_id: Identifier | None = _AI_ID


class AIStatusChange(BaseModel):
    """How the AI is to be shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ai_id": "ai_alex", "status": "away"}]})

    ai_id: Identifier
    status: AIStatus


class ReadAck(BaseModel):
    """Saved. An older position than the one known changes nothing."""

    type: str = "ACK"
    message_id: str | None = Field(description="The message read up to; null where there is none yet.")
    seq: int = Field(examples=[12])


class AISignals:
    """Methods raise ApiError, StoreUnavailable."""

    def __init__(self, rooms: AIRooms, typing: TypingRelay, receipts: Receipts, statuses: AIStatuses) -> None:
        self._rooms = rooms
        self._typing = typing
        self._receipts = receipts
        self._statuses = statuses

    async def typing(self, request: AITyping) -> Told:
        async with self._rooms.held(request.conversation_id, request.ai_id) as room:
            return Told(delivered_to=self._typing.indicate_ai(room, request.is_typing))

    async def read(self, request: AIReceipt) -> ReadAck:
        if (request.message_id is None) == (request.seq is None):
            text = "message_id or seq: one of them is required"
            raise ApiError(Refused(ErrorCode.VALIDATION_FAILED, text))
        async with self._rooms.held(request.conversation_id, request.ai_id) as room:
            read = await self._receipts.ai_read(room, ReadUpTo(request.message_id, request.seq))
        if isinstance(read, Refused):
            raise not_found("message")
        return ReadAck(message_id=read.message_id, seq=read.seq)

    async def status(self, request: AIStatusChange) -> Told:
        self._statuses.set(request.ai_id, request.status)
        return Told(delivered_to=await self._statuses.devices(request.ai_id))


def ai_signals_router(signals: AISignals) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["AI"], route_class=StrictJsonRoute)

    @router.post("/typing", responses=write_responses(404, 409))
    async def typing(request: AITyping) -> Told:
        """The AI's typing indicator; it ends with the AI's answer, or after `typing.ai_timeout`."""
        return await signals.typing(request)

    @router.post("/read-receipts", responses=write_responses(404, 409))
    async def read(request: AIReceipt) -> ReadAck:
        """The AI has read; all devices of the conversation hear it when it is news."""
        return await signals.read(request)

    @router.post("/ai-status", responses=write_responses())
    async def status(request: AIStatusChange) -> Told:
        """Tells every open conversation with that AI; later welcomes show it too."""
        return await signals.status(request)

    return router
