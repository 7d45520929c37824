"""The schema: every section and key with type, bounds and default. The docstring under a key is its manual.

`config.toml`, docs/settings.md and `chatctl config` are made from what stands here.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
)

from server.protocol import Identifier

DEFAULT_ORIGIN = "default"


def _network(text: str) -> str:
    ip_network(text, strict=False)  # ValueError says what is wrong
    return text


def _web_origin(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", text):
        raise ValueError("should look like https://chat.example or http://localhost:3000, without a path")
    return text


def _filled(secret: SecretStr) -> SecretStr:
    if not secret:
        raise ValueError("should not be empty")
    return secret


def _one_of(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url and not url.startswith(schemes):
            raise ValueError(f"should start with {' or '.join(schemes)}")
        return url

    return AfterValidator(check)


def _database_url(url: str) -> str:
    if url.startswith("sqlite://") and not url.removeprefix("sqlite://").strip("/"):
        raise ValueError(
            "should name a file: sqlite:///chat.db, or sqlite:////var/lib/chat.db for an absolute path"
        )
    return url


def _http_url(url: str) -> str:
    if url and not urlsplit(url).hostname:
        raise ValueError("should name a host")
    return url


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("should be [shortest, longest]")
    return pair


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
HttpUrl = Annotated[str, _one_of("http://", "https://"), AfterValidator(_http_url)]
JwtAlgorithm = Literal[
    "HS256", "HS384", "HS512",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip


class Section(BaseModel):
    """One table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Server(Section):
    """Where the server listens, and how it ends."""

    host: Text = "127.0.0.1"
    """Address to listen on. Any but loopback needs JWT auth and API keys, or --insecure."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port; 0 takes a free one."""
    workers: Positive = 1
    """Processes. Above 1 needs a backplane and PostgreSQL."""
    shutdown_grace: SomeSeconds = 10.0
    """Seconds in which a stop answers what has arrived and closes every connection."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Addresses or networks whose X-Forwarded-For is believed."""
    allowed_origins: tuple[Annotated[str, AfterValidator(_web_origin)], ...] = ()
    """Web origins whose pages may connect, and read the REST API; [] is the server's own host only."""
    web_client: bool = True
    """Serve the chat page at /app."""


class Heartbeat(Section):
    """How a dead connection is found."""

    interval: SomeSeconds = 30.0
    """Seconds between two PINGs to a connection."""
    timeout: SomeSeconds = 60.0
    """Seconds without any frame after which a connection is closed (4001). Above interval."""


class Limits(Section):
    """Sizes of what clients send."""

    max_text_length: Positive = 4000
    """Characters in a message."""
    max_ai_text_length: Positive = 32000
    """Characters in an AI's message."""
    max_frame_bytes: Positive = 65536
    """Bytes in a frame (1009 above). At least 12 for each character of max_text_length."""
    max_invalid_frames: Positive = 10
    """Unusable frames in a row after which a connection is closed (1007)."""


class RateLimit(Section):
    """Sliding window per user, over all of the user's devices and nodes."""

    messages: Positive = 30
    """Messages in a window."""
    window: SomeSeconds = 10.0
    """Seconds."""
    enabled: bool = True
    """Whether the limits apply."""
    signals: Positive = 100
    """Typing, receipts and pings in a window."""


class Connections(Section):
    """How many connections are held, and how far one may fall behind."""

    max_total: Positive = 10000
    """Connections of the process."""
    max_per_ip: Positive = 100
    """Connections of one address (an IPv6 /64 counts as one)."""
    max_per_user: Positive = 20
    """Connections of one user."""
    send_queue: Positive = 256
    """Frames that may wait for a device; above, it is closed (4002) and recovers."""


class Session(Section):
    """What is remembered about a device that is away."""

    ttl: Seconds = 300.0
    """Seconds in which a device that comes back counts as the same session."""


class Recovery(Section):
    """What a device that comes back is sent."""

    max_messages: Count = 500
    """Missed messages that are replayed; above, the client pages through the history."""


class Conversations(Section):
    """How rooms come into being."""

    auto_create: bool = True
    """Whether joining an unknown conversation creates it."""


class Typing(Section):
    """When a typing indicator ends by itself."""

    timeout: SomeSeconds = 4.0
    """Seconds for a user's."""
    ai_timeout: SomeSeconds = 30.0
    """Seconds for the AI's."""


class Store(Section):
    """Where messages are kept."""

    url: Annotated[
        str,
        StringConstraints(min_length=1),
        _one_of("sqlite:///", "postgresql://", "memory://"),
        AfterValidator(_database_url),
    ] = "sqlite:///chat.db"
    """sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or memory:// (nothing survives a restart)."""
    durability: Literal["full", "process"] = "full"
    """What an ACKed message survives: "full" a loss of power, "process" a kill of the process."""
    timeout: SomeSeconds = 5.0
    """Seconds after which a message that was not saved is NACKed. Below server.shutdown_grace."""


class Backplane(Section):
    """How several nodes hear of each other's messages."""

    url: Annotated[str, _one_of("redis://", "rediss://")] = ""
    """redis://HOST:PORT (Redis or Valkey); "" is this process only."""


class Auth(Section):
    """Who may connect (JWT), and who may call the REST API (API keys). Empty is everybody."""

    jwt_secret: SecretStr = SecretStr("")
    """Shared secret of HS256, HS384 and HS512 tokens."""
    jwt_public_key_file: str = ""
    """PEM file with the public key of the other algorithms."""
    jwt_algorithms: tuple[JwtAlgorithm, ...] = ("HS256",)
    """Algorithms that are accepted, whatever a token's header says."""
    jwt_audience: str = ""
    """`aud` that a token must have; "" does not ask for one."""
    api_keys: tuple[Annotated[SecretStr, AfterValidator(_filled)], ...] = ()
    """Keys of back-end services and operators."""


class Persona(Section):
    """An AI's character."""

    id: Identifier
    """The AI's id."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Name that users see."""
    prompt: str
    """System prompt for ai.responder = "openai"."""


class AI(Section):
    """Who answers, and how."""

    responder: Literal["none", "demo", "webhook", "openai"] = "none"
    """"demo" (a scripted persona), "webhook" (your service), "openai" (a chat-completions API) or "none"."""
    typing_delay: Annotated[tuple[Seconds, Seconds], AfterValidator(_in_order)] = (1.0, 3.0)
    """Shortest and longest seconds for which the AI is seen typing before an answer."""
    history: Count = 20
    """Messages before the turn that the responder is given."""
    turn_wait: Seconds = 0.8
    """Seconds without a message or typing after which a user's turn is over."""
    turn_max_wait: Seconds = 8.0
    """Seconds after which a turn is over in any case."""
    interrupt: Literal["queue", "cancel"] = "queue"
    """A message during an answer: "queue" answers it afterwards, "cancel" stops the answer for a new one."""
    webhook_url: HttpUrl = ""
    """Where turns are POSTed with responder = "webhook"."""
    webhook_secret: SecretStr = SecretStr("")
    """Key of the X-Chat-Signature header."""
    webhook_events: tuple[Literal["user_online", "user_offline", "typing", "read"], ...] = ()
    """Further events that are POSTed: user_online, user_offline, typing, read."""
    base_url: HttpUrl = ""
    """Base of the chat-completions API with responder = "openai"."""
    model: str = ""
    """Model of that API."""
    api_key: SecretStr = SecretStr("")
    """Key of that API."""
    personas: tuple[Persona, ...] = ()
    """The AIs' characters: tables of id, name and prompt."""
    simulate_status: bool = False
    """Let AIs come and go as people do."""


class Stats(Section):
    """How much of the past the server tells about."""

    history: Count = 1000
    """Connection events kept."""
    errors: Count = 500
    """Errors and NACKs kept."""


class Log(Section):
    """What is logged, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """debug (the flow of messages too), info, warning or error."""
    format: Literal["auto", "console", "json"] = "auto"
    """"console", "json" (a line an event), or "auto": console on a terminal, JSON otherwise."""


class Settings(BaseModel):
    """All that can be set. `Settings()` is the defaults; `load_settings` reads what users gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: Server = Server()
    heartbeat: Heartbeat = Heartbeat()
    limits: Limits = Limits()
    rate_limit: RateLimit = RateLimit()
    connections: Connections = Connections()
    session: Session = Session()
    recovery: Recovery = Recovery()
    conversations: Conversations = Conversations()
    typing: Typing = Typing()
    store: Store = Store()
    backplane: Backplane = Backplane()
    auth: Auth = Auth()
    ai: AI = AI()
    stats: Stats = Stats()
    log: Log = Log()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def origin_of(self, key: str) -> str:
        """Where the value of a key such as `server.port` came from; `default` where nobody gave one."""
        return self._origins.get(key, DEFAULT_ORIGIN)

    def value_of(self, key: str) -> Any:
        """The value of a key such as `server.port`."""
        section, _, name = key.partition(".")
        return getattr(getattr(self, section), name)


SECTIONS: dict[str, type[Section]] = {name: type(getattr(Settings(), name)) for name in Settings.model_fields}


def keys() -> Iterator[str]:
    """Every key, as `section.key`, in the order of the schema."""
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            yield f"{section}.{name}"


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


SECRET_KEYS = frozenset(
    f"{section}.{name}"
    for section, model in SECTIONS.items()
    for name, field in model.model_fields.items()
    if _is_secret(field.annotation)
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
