"""The wire's one envelope, `WSMessage`, and the payloads in its `data`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from server.protocol.identifiers import Identifier, Party
from server.protocol.types import ErrorCode, MessageType


class ErrorInfo(BaseModel):
    """`error` of a NACK, an ERROR and a REST error. `retry_after` is in seconds."""

    code: ErrorCode
    retryable: bool
    retry_after: float | None = None


class WSMessage(BaseModel):
    """One JSON object in one text frame; the same envelope in both directions.

    Source: the protocol's section 2. What is None is left out of the frame.
    """

    type: MessageType
    message_id: str | None = None
    conversation_id: str | None = None
    data: Any = None
    timestamp: str | None = None  # RFC 3339, UTC, ends in Z
    sender: str | None = None  # user id, the AI's id, or "server"
    seq: int | None = None
    error: ErrorInfo | None = None
    duplicate: bool | None = None
    finish: str | None = None
    client_timestamp: str | None = None

    def to_json(self) -> bytes:
        """The frame's payload."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)


class ClientFrame(BaseModel):
    """What a client may say, before its type and data are judged. Unknown fields are ignored."""

    model_config = ConfigDict(strict=True)

    type: str
    message_id: Identifier | None = None
    conversation_id: Identifier | None = None
    data: Any = None
    timestamp: Any = None  # a stamp that is no date is ignored, so it cannot be wrong


class AI(BaseModel):
    """The other party of a conversation. Further keys given by the application are kept."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue]

    id: Party
    name: str = Field(min_length=1, max_length=200)


class RateLimit(BaseModel):
    """At most `messages` in any `window` seconds."""

    messages: int
    window: float


class Gap(BaseModel):
    """Messages that are not replayed: the client reads `from` to `to` through the REST history."""

    model_config = ConfigDict(populate_by_name=True)

    first: int = Field(alias="from")
    last: int = Field(alias="to")


class Welcome(BaseModel):
    """`data` of the first frame on every connection, a SYSTEM message with event `connected`."""

    event: str = "connected"
    protocol: int
    user_id: str
    client_id: str
    session_id: str
    connection_id: str
    last_seq: int
    epoch: str
    resumed: bool
    recovered: int
    gap: Gap | None
    heartbeat_interval: float
    heartbeat_timeout: float
    ack_timeout: float
    max_text_length: int
    max_frame_bytes: int = 65536
    rate_limit: RateLimit | None
    ai: dict[str, Any]
    devices: int
