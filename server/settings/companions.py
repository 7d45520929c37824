"""The tables of config.toml about the AIs: who answers and how, and what is asked and told about it."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from server.protocol import Identifier
from server.settings.kinds import (
    Count,
    HttpUrl,
    Items,
    Params,
    Positive,
    Seconds,
    SigningSecret,
    SomeSeconds,
    Span,
)
from server.settings.sections import Section


class Persona(Section):
    """An AI's character."""

    id: Identifier
    """The AI's id."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Name that users see."""
    prompt: str
    """System prompt for ai.responder = "openai"."""
    model: str = ""
    """Model of this AI; "" is ai.model."""
    params: Params = Field(default={})
    """Parameters of this AI, which win over those of ai.params."""


class AI(Section):
    """Who answers, and how."""

    responder: Literal["none", "demo", "webhook", "openai"] = "none"
    """"demo" (a scripted persona), "webhook" (your service), "openai" (a chat-completions API) or "none"."""
    typing_delay: Span = (1.0, 3.0)
    """Shortest and longest seconds for which the AI is seen typing before an answer."""
    history: Count = 20
    """Messages before the turn that the responder is given."""
    turn_wait: Seconds = 0.8
    """Seconds without a message or typing after which a user's turn is over."""
    turn_max_wait: Seconds = 8.0
    """Seconds after which a turn is over in any case."""
    interrupt: Literal["queue", "cancel", "rollback"] = "queue"
    """A message during an answer waits ("queue"), or stops it and what was shown stays ("cancel") or not."""
    stream_rollup: Count = 40
    """Milliseconds for which the pieces of a streamed answer may be joined."""
    webhook_url: HttpUrl = ""
    """Where turns are POSTed with responder = "webhook", and events whatever the responder."""
    webhook_secrets: Items[SigningSecret] = ()
    """Keys that sign each call (Standard Webhooks: whsec_ and base64); several while one replaces another."""
    webhook_events: Items[Literal["user_online", "user_offline", "typing", "read", "undelivered"]] = ()
    """Events that are POSTed beside the turns: user_online, user_offline, typing, read, undelivered."""
    webhook_timeout: SomeSeconds = 60.0
    """Seconds for an answer to begin, and between two pieces of it."""
    webhook_attempts: Positive = 12
    """Failures of a turn's own after which it is a dead letter."""
    webhook_concurrency: Positive = 64
    """Calls at the same time."""
    base_url: HttpUrl = "https://api.openai.com/v1"
    """Base of the chat-completions API with responder = "openai"."""
    model: str = ""
    """Model of that API."""
    api_key: SecretStr = SecretStr("")
    """Key of that API."""
    params: Params = Field(default={})
    """Parameters passed on to that API as they are: temperature, max_tokens..."""
    first_token_timeout: SomeSeconds = 60.0
    """Seconds for that API's first text."""
    idle_timeout: SomeSeconds = 30.0
    """Seconds between two pieces of its text."""
    answer_timeout: SomeSeconds = 300.0
    """Seconds for the whole of an answer."""
    personas: Items[Persona] = ()
    """The AIs' characters: tables of id, name, prompt and, where they differ, model and params."""
    simulate_status: bool = False
    """Let AIs come and go as people do."""


class Moderation(Section):
    """A service of yours that sees every message before it is saved."""

    url: HttpUrl = ""
    """Where messages are POSTed; "" asks nobody."""
    secrets: Items[SigningSecret] = ()
    """Keys that sign each call (whsec_ and base64)."""
    timeout: SomeSeconds = 1.5
    """Seconds for its verdict."""
    on_failure: Literal["allow", "refuse"] = "allow"
    """What becomes of a message without a verdict."""


class Disclosure(Section):
    """What tells users, again and again, that they talk to an AI."""

    text: str = ""
    """The words; "" says nothing."""
    every: SomeSeconds = 10800.0
    """Seconds of use between two."""
    every_minor: SomeSeconds = 3600.0
    """The same for users who are marked as minors."""
    pause: SomeSeconds = 1800.0
    """Seconds without a message after which a use is over."""
