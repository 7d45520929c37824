"""The tables of config.toml: each key with type, bounds, default and, under it, its manual."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from server.settings.kinds import (
    ApiKey,
    BackplaneUrl,
    Count,
    Days,
    Host,
    Items,
    JwtAlgorithm,
    Lowered,
    Network,
    Port,
    Positive,
    RootPath,
    Seconds,
    SomeSeconds,
    StoreUrl,
    WebOrigin,
)


class Section(BaseModel):
    """One table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Server(Section):
    """Where the server listens, and how it ends."""

    host: Host = "127.0.0.1"
    """Address to listen on. Any but loopback needs JWT auth and API keys, or --insecure."""
    port: Port = 8000
    """TCP port; 0 takes a free one."""
    workers: Positive = 1
    """Processes. Above 1 needs a backplane and PostgreSQL."""
    shutdown_grace: SomeSeconds = 10.0
    """Seconds in which a stop answers what has arrived and closes every connection."""
    trusted_proxies: Items[Network] = ()
    """Addresses or networks whose X-Forwarded-For, -Proto, -Host and -Prefix are believed."""
    allowed_origins: Items[WebOrigin] = ()
    """Web origins whose pages may connect, and read the REST API; [] is the server's own host only."""
    root_path: RootPath = ""
    """Path under which a proxy offers the server, such as /chat. All is served with and without it."""
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
    """Typing, receipts and pings in a window; and as many REST reads with the user's token."""
    joins: Positive = 60
    """Connections that a user opens in a window (1013 above)."""


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

    url: StoreUrl = "sqlite:///chat.db"
    """sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or memory:// (nothing survives a restart)."""
    durability: Literal["full", "process"] = "full"
    """What an ACKed message survives: "full" a loss of power, "process" a kill of the process."""
    timeout: SomeSeconds = 5.0
    """Seconds after which a message that was not saved is NACKed. Below server.shutdown_grace."""
    pool: Positive = 8
    """Connections to PostgreSQL, at least 3: half of them commit, the others read."""
    retention: Days = 0.0
    """Days after which messages are removed; 0 keeps them for ever."""


class Backplane(Section):
    """How several nodes hear of each other's messages."""

    url: BackplaneUrl = ""
    """redis://HOST:PORT or rediss:// (redis+cluster:// is not built yet); "" is this node alone."""
    node_ttl: SomeSeconds = 5.0
    """Seconds of silence after which a node counts as gone."""


class Auth(Section):
    """Who may connect (JWT), and who may call the REST API (API keys). Empty is everybody."""

    jwt_secret: SecretStr = SecretStr("")
    """Shared secret of HS256, HS384 and HS512 tokens, 32 bytes or more."""
    jwt_public_key_file: str = ""
    """PEM file with the public key of the other algorithms."""
    jwt_algorithms: Items[JwtAlgorithm] = ("HS256",)
    """Algorithms that are accepted, whatever a token's header says."""
    jwt_audience: str = ""
    """`aud` that a token must have; "" does not ask for one."""
    jwt_leeway: Seconds = 5.0
    """Seconds by which the issuer's clock may differ: tokens come in so much before `nbf` and after `exp`."""
    api_keys: Items[ApiKey] = ()
    """Keys of back-end services and operators, 16 characters or more."""


class Stats(Section):
    """How much of the past the server tells about."""

    history: Count = 1000
    """Connection events kept."""
    errors: Count = 500
    """Errors and NACKs kept."""


class Log(Section):
    """What is logged, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Lowered] = "info"
    """debug (the flow of messages too), info, warning or error."""
    format: Literal["auto", "console", "json"] = "auto"
    """"console", "json" (a line an event), or "auto": console on a terminal, JSON otherwise."""
