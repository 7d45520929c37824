"""POST /api/stream-ai-message: an AI service speaks piece by piece."""

import asyncio
import contextlib
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.api.ai_messages import TURN_ANSWERED, AIMessageAck, answered_turn, check_answer
from server.api.ai_room import AIRooms
from server.api.errors import ApiError, write_responses
from server.core.model import STORE_UNAVAILABLE, Refused, StoredMessage
from server.core.stream_formats import StreamParser, make_parser
from server.core.timestamps import rfc3339
from server.ports import StoreUnavailable
from server.ports.body import EXTENSION, Attach
from server.protocol import ErrorCode, Finish, Identifier
from server.runtime.answers.ai_speech import AISpeech, Spoken
from server.runtime.answers.streams import Ended, Stream, Streams
from server.runtime.base.clock import now_ms
from server.runtime.base.ids import IdMaker
from server.runtime.rooms.room import Room

_BROKE_OFF: Final = Refused(ErrorCode.UPSTREAM_ERROR, "the body broke off before its end")
_BEING_WRITTEN: Final = Refused(ErrorCode.CONFLICT, "message_id: an answer is being written under it")
_FORMAT: Final = Refused(
    ErrorCode.VALIDATION_FAILED,
    "Content-Type: must be text/plain, text/event-stream or application/x-ndjson,"
    " or give format=text, sse or ndjson",
)
# One form of each that is sure to have visible text; the docs name all others.
_BODIES: Final = {
    "text/plain": r"^[A-Za-z0-9][^\u0000]*$",
    "text/event-stream": r"^(data: [A-Za-z0-9]+\n\n)+$",
    "application/x-ndjson": r'^(\{"response": "[A-Za-z0-9]+", "done": false\}\n)+$',
}
# What a writer may still send after its stream is over, before its connection is closed.
_DISCARDED_BYTES: Final = 1 << 20
_DISCARDING_SECONDS: Final = 5.0


class StreamRequest(BaseModel):
    """Whose message the body is, and how it is to be read."""

    conversation_id: Identifier = Field(examples=["conv_user123_ai_alex"])
    message_id: Identifier | None = Field(None, description="Makes a repeated call harmless.")
    ai_id: Identifier | None = Field(None, description="Must be the conversation's AI, where given.")
    on_abort: Literal["discard", "save"] = Field(
        "discard", description="What becomes of the part where the body breaks off."
    )
    format: Literal["text", "sse", "ndjson"] | None = Field(None, description="In place of the Content-Type.")


class AIStreams:
    """Shows what an AI service writes as it comes, and saves it at its end."""

    def __init__(
        self, rooms: AIRooms, streams: Streams, speech: AISpeech, ids: IdMaker, max_length: int
    ) -> None:
        self._rooms = rooms
        self._streams = streams
        self._speech = speech
        self._ids = ids
        self._too_long = Refused(
            ErrorCode.MESSAGE_TOO_LONG, f"the text is longer than {max_length} characters"
        )

    async def write(self, request: Request, wish: StreamRequest) -> Response:
        """Read the request's body into the conversation. Raises ApiError."""
        parser = make_parser(request.headers.get("content-type"), wish.format)
        if parser is None:
            raise ApiError(_FORMAT, wish.message_id)
        message_id = wish.message_id or self._ids.new()
        try:
            async with self._rooms.held(wish.conversation_id, wish.ai_id, wish.message_id) as room:
                if wish.message_id and (known := await self._speech.find(room, message_id)) is not None:
                    return _EarlyAnswer(_of_known(room, known))
                answers, keeps_part = answered_turn(room, message_id), wish.on_abort == "save"
                if not await self._speech.is_wanted(room, answers):  # no device is shown any of it
                    raise ApiError(TURN_ANSWERED, message_id)
                stream = self._streams.open(room, message_id, answers, keeps_part)
                if stream is None:
                    raise ApiError(_BEING_WRITTEN, message_id)
                writer = _Writer(stream, parser, self._too_long)
                ended = await _written(request, writer)
        except StoreUnavailable:
            raise ApiError(STORE_UNAVAILABLE, wish.message_id) from None
        if isinstance(ended, Refused):
            raise ApiError(ended, message_id)
        check_answer(ended.spoken, message_id)
        answer = _ack(room, message_id, ended)
        return JSONResponse(answer) if writer.has_all else _EarlyAnswer(answer)


class _Writer:
    """Implements BodySink: what the body brings is written into the stream."""

    def __init__(self, stream: Stream, parser: StreamParser, too_long: Refused) -> None:
        self.stream = stream
        self.has_all = False  # of the body
        self._parser = parser
        self._too_long = too_long

    def on_data(self, data: bytes) -> None:
        if self.stream.is_open:
            self._show(self._parser.feed(data))
            if self._parser.is_over:
                self._show(self._parser.close())
                self._end()

    def on_end(self) -> None:
        self.has_all = True
        if self.stream.is_open:
            self._show(self._parser.close())
            self._end()

    def on_cut(self) -> None:
        self.stream.break_off(_BROKE_OFF)

    def _show(self, text: str) -> None:
        if text and not self.stream.write(text):
            self.stream.abort(self._too_long)  # or it is over: then this changes nothing

    def _end(self) -> None:
        if self._parser.fault is not None:
            self.stream.break_off(self._parser.fault)
        else:
            self.stream.end(self._parser.finish)


async def _written(request: Request, writer: _Writer) -> Ended | Refused:
    """Wait for the end of a stream that the request's body is written into."""
    attach: Attach | None = request.scope.get("extensions", {}).get(EXTENSION, {}).get("attach")
    if attach is None:
        return await _read_into(request, writer)
    attach(writer)
    try:
        return await asyncio.shield(writer.stream.ended)
    finally:
        attach(None)
        writer.on_cut()  # where this request itself is cancelled


async def _read_into(request: Request, writer: _Writer) -> Ended | Refused:
    """Do the same over plain ASGI, with a task that waits for the pieces."""

    async def read() -> None:
        try:
            async for data in request.stream():
                writer.on_data(data)
            writer.on_end()
        except ClientDisconnect:
            writer.on_cut()

    reading = asyncio.create_task(read())
    try:
        return await asyncio.shield(writer.stream.ended)
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        writer.on_cut()  # where this request itself is cancelled


def _ack(room: Room, message_id: str, ended: Ended) -> dict[str, Any]:
    spoken = ended.spoken
    return AIMessageAck(
        message_id=message_id,
        conversation_id=room.conversation_id,
        seq=None if spoken is None else spoken.seq,
        timestamp=rfc3339(now_ms() if spoken is None else spoken.at),
        delivered_to=0 if spoken is None else spoken.delivered_to,
        duplicate=spoken is not None and spoken.duplicate,
        finish=ended.finish,
    ).model_dump(mode="json", exclude_none=True)


def _of_known(room: Room, known: StoredMessage) -> dict[str, Any]:
    finish = None if known.finish is None else Finish(known.finish)
    return _ack(room, known.message_id, Ended(Spoken(known.seq, known.created_at, 0, True), finish))


class _EarlyAnswer(JSONResponse):
    """An answer while the body is still being sent.

    The rest is read and thrown away, within bounds: to close over unread bytes would destroy the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARDING_SECONDS):
                await _discard(receive)
        await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    left = _DISCARDED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


def ai_streams_router(streams: AIStreams) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["AI"])
    body: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "description": "The text, or an AI provider's stream, as it is written.",
            "content": {
                media_type: {"schema": {"type": "string", "pattern": pattern}}
                for media_type, pattern in _BODIES.items()
            },
        }
    }

    @router.post(
        "/stream-ai-message",
        response_model=AIMessageAck,
        responses=write_responses(404, 409, 502),
        openapi_extra=body,
    )
    async def stream_ai_message(request: Request, wish: Annotated[StreamRequest, Query()]) -> Response:
        """Shows the AI's message to all devices while it is written, and saves the whole at its end.

        Idempotent by `message_id`.
        """
        return await streams.write(request, wish)

    return router
