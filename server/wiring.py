"""From settings to the parts of a running server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

from server.ai.demo import DemoResponder
from server.ai.openai import ModelConfig, OpenAIResponder, Persona
from server.ai.webhook import WebhookConfig, WebhookService
from server.api.ai_messages import AIMessages
from server.api.ai_room import AIRooms
from server.api.ai_service import AIService
from server.api.ai_signals import AISignals
from server.api.ai_streams import AIStreams
from server.api.conversations import ConversationResource
from server.api.export import UserExport
from server.api.health import HealthCheck
from server.api.history import History
from server.api.operations import NodeDrain, Operations
from server.api.proxies import TrustedProxies
from server.api.stats import Stats
from server.api.status import OwnStatus
from server.api.users import UserResource
from server.api.websocket import HandshakeChecks, WebSocketEndpoint
from server.core.connection_limits import ConnectionLimits
from server.core.rate_limit import RateLimiter
from server.core.retrying import Backoff
from server.ports import Backplane, BackplaneUnavailable, MessageStore, Responder, StoreUnavailable
from server.protocol import RateLimit
from server.runtime.answers.failing import RetryPolicy
from server.runtime.answers.streams import StreamConfig
from server.runtime.answers.turns import TurnConfig
from server.runtime.base.tokens import Tokens
from server.runtime.messages.join import JoinConfig
from server.runtime.messages.receiver import FrameLimits
from server.runtime.node import Node, NodeConfig, ServiceConfig
from server.settings import AI, Settings
from server.store.memory import MemoryStore
from server.store.sqlite import SqliteStore
from server.store.timed import TimedStore

if TYPE_CHECKING:
    from server.store.postgres import PostgresStore

VERSION: Final = version("chatctl")


@dataclass(frozen=True)
class Services:
    """A running node, and what answers its routes."""

    node: Node
    websocket: WebSocketEndpoint
    status: OwnStatus
    ai_messages: AIMessages
    ai_streams: AIStreams
    ai_signals: AISignals
    history: History
    conversations: ConversationResource
    users: UserResource
    export: UserExport
    operations: Operations
    ai_service: AIService


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open the store and start the node; end both in the reverse order.

    Raises DatabaseInUse, SchemaTooNew, StoreUnavailable, UnusableKey, UnusableProxy,
    BackplaneUnavailable where its URL is of no use.
    """
    store = TimedStore(make_store(settings), settings.store.timeout)
    await store.open()
    service: WebhookService | None = None
    responder: Responder | None = None
    node: Node | None = None
    try:
        service = make_service(settings)
        responder = service if settings.ai.responder == "webhook" else make_responder(settings)
        backplane = make_backplane(settings)
        node = Node(node_config(settings), store, responder, make_tokens(settings), service, backplane)
        await node.open()
        node.start()
        yield _services(settings, node)
    finally:
        if node is not None:
            await node.stop()
        for called in {responder, service}:
            if called is not None:
                await called.close()
        await store.close()


def node_config(settings: Settings) -> NodeConfig:
    """Take the node's values from the settings."""
    limits, ai = settings.limits, settings.ai
    return NodeConfig(
        join=_join_config(settings),
        connections=_connection_limits(settings),
        frames=FrameLimits(limits.max_text_length, limits.max_invalid_frames),
        turns=_turn_config(ai),
        service=ServiceConfig(frozenset(ai.webhook_events), ai.webhook_concurrency, ai.webhook_attempts),
        streams=StreamConfig(ai.stream_rollup / 1000, limits.max_ai_text_length),
        **_limiters(settings),
        version=VERSION,
        send_queue=settings.connections.send_queue,
        session_ttl=settings.session.ttl,
        node_ttl=settings.backplane.node_ttl,
        store_timeout=settings.store.timeout,
        shutdown_grace=settings.server.shutdown_grace,
        typing_timeout=settings.typing.timeout,
        ai_typing_timeout=settings.typing.ai_timeout,
        typing_delay=ai.typing_delay,
        simulate_status=ai.simulate_status,
        kept_events=settings.stats.history,
        kept_errors=settings.stats.errors,
    )


def _services(settings: Settings, node: Node) -> Services:
    store, conversations = node.store, node.conversations
    rooms = AIRooms(node.manager, conversations)
    longest = settings.limits.max_ai_text_length
    checks = HandshakeChecks(node.admission, settings.server.allowed_origins, node.tokens)
    return Services(
        node=node,
        websocket=WebSocketEndpoint(node.joins, checks, node.metrics),
        status=_own_status(node),
        ai_messages=AIMessages(rooms, node.speech, node.streams, node.ids, longest),
        ai_streams=AIStreams(rooms, node.streams, node.speech, node.ids, longest),
        ai_signals=AISignals(rooms, node.typing, node.receipts, node.statuses),
        history=History(store, node.trace),
        conversations=ConversationResource(node.manager, conversations, store, node.announcer),
        users=UserResource(conversations, store, node.presence),
        export=UserExport(store),
        operations=Operations(node.kick, store, node.announcer, longest),
        ai_service=AIService(store, node.deliveries),
    )


def _own_status(node: Node) -> OwnStatus:
    health = HealthCheck(VERSION, node.store, node.delivery, node.joins, node.nodes)
    stats = Stats(
        health,
        node.ids.prefix,
        node.store.backend,
        node.manager,
        node.metrics,
        node.delivery,
        node.answer_figures,
        node.nodes,
    )
    return OwnStatus(health, stats, NodeDrain(node.manager, node.shutdown, node.background))


def make_store(settings: Settings) -> MessageStore:
    """The store that `store.url` names. Raises StoreUnavailable."""
    url = settings.store.url
    owes_answers = settings.ai.responder != "none"
    if url == "memory://":
        return MemoryStore(owes_answers)
    if url.startswith("postgresql://"):
        return make_postgres_store(settings, owes_answers)
    is_durable = settings.store.durability == "full"
    return SqliteStore(Path(url.removeprefix("sqlite:///")), is_durable, owes_answers=owes_answers)


def make_postgres_store(settings: Settings, owes_answers: bool) -> "PostgresStore":
    """Raises StoreUnavailable where its driver is not installed."""
    try:
        from server.store.postgres import PostgresStore
    except ImportError:
        raise StoreUnavailable("PostgreSQL needs its driver: pip install 'chatctl[cluster]'") from None
    store = settings.store
    is_durable = store.durability == "full"
    return PostgresStore(store.url, store.timeout, store.pool, owes_answers, is_durable)


def make_backplane(settings: Settings) -> Backplane | None:
    """The service that `backplane.url` names; None where there is this node alone.

    Raises BackplaneUnavailable where its URL or its driver is of no use.
    """
    url = settings.backplane.url
    if not url:
        return None
    try:
        from server.backplane.redis import RedisBackplane
    except ImportError:
        raise BackplaneUnavailable("the backplane needs its driver: pip install 'chatctl[cluster]'") from None
    return RedisBackplane(url)


def _turn_config(ai: AI) -> TurnConfig:
    """A service that refuses a turn again and again has it given up; a model never has."""
    is_service = ai.responder == "webhook"
    retry = RetryPolicy(Backoff(longest=300.0), ai.webhook_attempts) if is_service else RetryPolicy()
    return TurnConfig(ai.turn_wait, ai.turn_max_wait, ai.history, ai.interrupt, ai.typing_delay, retry)


def make_service(settings: Settings) -> WebhookService | None:
    """Make what calls the application's own service; None without `ai.webhook_url`. Raises UnusableProxy."""
    ai = settings.ai
    if not ai.webhook_url:
        return None
    secrets = tuple(secret.get_secret_value() for secret in ai.webhook_secrets)
    return WebhookService(WebhookConfig(ai.webhook_url, secrets, ai.webhook_timeout))


def make_responder(settings: Settings) -> Responder | None:
    """Make the built-in one that `ai.responder` names; None where services speak by themselves.

    Raises UnusableProxy.
    """
    if settings.ai.responder == "demo":
        return DemoResponder()
    return OpenAIResponder(_model_config(settings.ai)) if settings.ai.responder == "openai" else None


def _model_config(ai: AI) -> ModelConfig:
    return ModelConfig(
        ai.base_url,
        ai.model,
        ai.api_key.get_secret_value(),
        ai.params,
        {it.id: Persona(it.prompt, it.model, it.params) for it in ai.personas},
        ai.first_token_timeout,
        ai.idle_timeout,
        ai.answer_timeout,
    )


def make_tokens(settings: Settings) -> Tokens | None:
    """None where no JWT is asked for. Raises UnusableKey."""
    auth = settings.auth
    key = auth.jwt_secret.get_secret_value()
    if auth.jwt_public_key_file:
        key = Path(auth.jwt_public_key_file).read_text(encoding="utf-8")
    return Tokens(key, auth.jwt_algorithms, auth.jwt_audience, auth.jwt_leeway) if key else None


def _limiters(settings: Settings) -> dict[str, RateLimiter]:
    """Make those of NodeConfig, by their names; none where they are switched off."""
    limit = settings.rate_limit
    most = {
        "messages": limit.messages,
        "signals": limit.signals,
        "joins": limit.joins,
        "reads": limit.signals,
    }
    return {name: RateLimiter(number, limit.window) for name, number in most.items()} if limit.enabled else {}


def _join_config(settings: Settings) -> JoinConfig:
    limit = settings.rate_limit
    return JoinConfig(
        heartbeat_interval=settings.heartbeat.interval,
        heartbeat_timeout=settings.heartbeat.timeout,
        max_text_length=settings.limits.max_text_length,
        max_frame_bytes=settings.limits.max_frame_bytes,
        rate_limit=RateLimit(messages=limit.messages, window=limit.window) if limit.enabled else None,
        auto_create=settings.conversations.auto_create,
        recovery_max_messages=settings.recovery.max_messages,
    )


def _connection_limits(settings: Settings) -> ConnectionLimits:
    limits = settings.connections
    return ConnectionLimits(limits.max_total, limits.max_per_ip, limits.max_per_user)


def trusted_proxies(settings: Settings) -> TrustedProxies:
    """Make what believes the proxies that the settings name."""
    networks = tuple(ip_network(text, strict=False) for text in settings.server.trusted_proxies)
    return TrustedProxies(networks, settings.server.root_path)
