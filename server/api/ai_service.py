"""Deliveries to the AI service: turns that were given up, and the pause of all of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from server.api.bodies import StrictJsonRoute, not_both
from server.api.errors import ApiError, error_responses, not_found, write_responses
from server.core.model import Refused
from server.core.owed import DeadLetter
from server.core.timestamps import rfc3339
from server.ports import MessageStore
from server.protocol import MAX_LISTED, ErrorCode, Identifier, MessageType
from server.runtime.answers.service import Deliveries


def _is_stamp(value: Any) -> Any:
    """Pydantic would take numbers too, which no client means."""
    if value is not None and (type(value) is not str or value[10:11] not in ("T", "t")):
        raise PydanticCustomError("datetime_type", "should be a date and time, RFC 3339")
    return value


Stamp = Annotated[AwareDatetime, BeforeValidator(_is_stamp)]


class ReplayRequest(BaseModel):
    """Which dead letters are sent again: those of a conversation, those that failed since, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"conversation_id": "conv_user123_ai_alex"}],
            **not_both("conversation_id", "since"),
        }
    )

    conversation_id: Identifier | None = None
    since: Stamp | None = Field(None, description="Failed then or later; RFC 3339, with its zone.")


class Replaying(BaseModel):
    """So many are sent again."""

    replayed: int = Field(examples=[2])


class DeadLetterRow(BaseModel):
    """A turn that the AI service could not take."""

    conversation_id: str = Field(examples=["conv_user123_ai_alex"])
    seqs: list[int] = Field(description="Of the user's messages in it.", examples=[[12, 13]])
    attempts: int = Field(examples=[12])
    last_error: str = Field(examples=["http://127.0.0.1:9000/turns answered 500: no reason given"])
    failed_at: str = Field(examples=["2026-01-15T10:30:04.511Z"])


class DeadLetters(BaseModel):
    """The newest first."""

    items: list[DeadLetterRow]
    has_more: bool


class AIService:
    """Raises ApiError, StoreUnavailable."""

    def __init__(self, store: MessageStore, deliveries: Deliveries) -> None:
        self._store = store
        self.deliveries = deliveries

    async def dead_letters(self, limit: int) -> DeadLetters:
        letters = await self._store.dead_letters(limit + 1)
        rows = [await self._row(letter) for letter in letters[:limit]]
        return DeadLetters(items=rows, has_more=len(letters) > limit)

    async def replay(self, request: ReplayRequest) -> Replaying:
        if request.conversation_id is not None and request.since is not None:
            text = "conversation_id and since: only one of them is allowed"
            raise ApiError(Refused(ErrorCode.VALIDATION_FAILED, text))
        since = None if request.since is None else int(request.since.timestamp() * 1000)
        return Replaying(replayed=await self.deliveries.replay(request.conversation_id, since))

    async def delete(self, conversation_id: str) -> None:
        if not await self._store.delete_dead_letters(conversation_id):
            raise not_found("dead letter")

    async def _row(self, letter: DeadLetter) -> DeadLetterRow:
        first, last = letter.first_seq, letter.last_seq
        messages = await self._store.history(letter.conversation_key, first - 1, last - first + 1)
        return DeadLetterRow(
            conversation_id=letter.conversation_id,
            seqs=[it.seq for it in messages if it.type is MessageType.CHAT_MESSAGE and it.seq <= last],
            attempts=letter.attempts,
            last_error=letter.last_error,
            failed_at=rfc3339(letter.failed_at),
        )


def ai_service_router(service: AIService) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["AI service"], route_class=StrictJsonRoute)

    @router.get("/dead-letters", responses=error_responses(503))
    async def dead_letters(limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100) -> DeadLetters:
        """Turns that were given up after `ai.webhook_attempts` failures of their own."""
        return await service.dead_letters(limit)

    @router.post("/dead-letters/replay", status_code=202, responses=write_responses())
    async def replay(request: Annotated[ReplayRequest | None, Body()] = None) -> Replaying:
        """Sends them to the AI service again, out of order, marked `"replayed": true`."""
        return await service.replay(request or ReplayRequest())

    @router.delete("/dead-letters/{conversation_id}", status_code=204, responses=write_responses(404))
    async def delete(conversation_id: Identifier) -> None:
        """Drops those of a conversation; its messages stay."""
        await service.delete(conversation_id)

    @router.post("/webhook/pause", status_code=204, responses=write_responses())
    async def pause() -> None:
        """Stops all deliveries to the AI service, over restarts too. Nothing that waits is lost."""
        await service.deliveries.pause("paused by an operator")

    @router.post("/webhook/resume", status_code=204, responses=write_responses())
    async def resume() -> None:
        """Lets deliveries go on, also after the service had answered 410."""
        await service.deliveries.resume()

    return router
