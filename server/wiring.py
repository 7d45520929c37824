"""From settings to the parts of a running server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from server.ai.demo import DemoResponder
from server.api.ai_messages import AIMessages
from server.api.ai_room import AIRooms
from server.api.ai_signals import AISignals
from server.api.conversations import ConversationResource
from server.api.health import Condition
from server.api.history import History
from server.api.operations import Operations
from server.api.stats import Stats
from server.api.users import UserResource
from server.api.websocket import Door
from server.core.admission import Network, Places
from server.core.rate_limit import RateLimiter
from server.ports import MessageStore, Responder, StoreUnavailable
from server.protocol import RateLimit
from server.runtime.admission import Admission
from server.runtime.ai_speech import AISpeech
from server.runtime.ai_status import AIStatuses
from server.runtime.announcer import Announcer
from server.runtime.background import Background
from server.runtime.conversations import Conversations
from server.runtime.delivery import Delivery
from server.runtime.gateway import Gateway, GatewayConfig
from server.runtime.ids import IdMaker
from server.runtime.manager import ConnectionManager
from server.runtime.metrics import Metrics
from server.runtime.missed import Missed
from server.runtime.presence import Presence
from server.runtime.receipts import Receipts
from server.runtime.receiver import Receiver
from server.runtime.replay import Replayer
from server.runtime.sessions import Sessions
from server.runtime.shutdown import Shutdown
from server.runtime.signals import Signals
from server.runtime.simulated_status import SimulatedStatus
from server.runtime.sweeper import Sweeper
from server.runtime.tokens import Tokens
from server.runtime.trail import Trail
from server.runtime.turns import TurnConfig, Turns
from server.runtime.typing import TypingRelay
from server.settings import Settings
from server.store.memory import MemoryStore
from server.store.sqlite import SqliteStore

VERSION: Final = version("chatctl")


@dataclass(frozen=True)
class Services:
    """The parts of a running server, wired."""

    store: MessageStore
    manager: ConnectionManager
    gateway: Gateway
    door: Door
    shutdown: Shutdown
    condition: Condition
    stats: Stats
    ai_messages: AIMessages
    ai_signals: AISignals
    history: History
    conversations: ConversationResource
    users: UserResource
    operations: Operations


@dataclass(frozen=True)
class _Runtime:
    """What devices and AIs are served by, without the routes that lead there."""

    store: MessageStore
    background: Background
    ids: IdMaker
    manager: ConnectionManager
    conversations: Conversations
    trail: Trail
    typing: TypingRelay
    receipts: Receipts
    delivery: Delivery
    statuses: AIStatuses
    speech: AISpeech
    tokens: Tokens | None
    admission: Admission
    gateway: Gateway
    shutdown: Shutdown
    limiters: list[RateLimiter]


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens the store and starts the background tasks; ends both in the reverse order.

    Raises DatabaseInUse, SchemaTooNew, StoreUnavailable.
    """
    store = make_store(settings)
    await store.open()
    background = Background()
    responder = make_responder(settings)
    try:
        runtime = _runtime(settings, store, background)
        if responder is not None:
            _begin_turns(settings, runtime, responder)
        _begin_sweeping(settings, runtime)
        yield _services(settings, runtime)
    finally:
        await background.stop()
        if responder is not None:
            await responder.close()
        await store.close()


def _runtime(settings: Settings, store: MessageStore, background: Background) -> _Runtime:
    timeout = settings.store.timeout
    metrics = Metrics(settings.stats.history, settings.stats.errors)
    ids = IdMaker()
    sessions = Sessions(ids, settings.session.ttl)
    manager = ConnectionManager(metrics, ids, sessions, settings.connections.send_queue)
    conversations = Conversations(store, manager, ids, timeout)
    trail = Trail(settings.stats.history)
    typing = TypingRelay(manager, ids, settings.typing.timeout, settings.typing.ai_timeout)
    receipts = Receipts(store, manager, ids, timeout)
    replayer = Replayer(manager, store, background, timeout)
    missed = Missed(store, replayer, background, timeout)
    delivery = Delivery(store, manager, trail, typing, missed, timeout)
    statuses = AIStatuses(manager, ids, background)
    simulated = SimulatedStatus(statuses) if settings.ai.simulate_status else None
    tokens = make_tokens(settings)
    limiter, signal_limiter = _limiters(settings)
    receiver = Receiver(
        manager,
        delivery,
        typing,
        Signals(manager, typing, receipts, background, tokens),
        background,
        limiter,
        signal_limiter,
        settings.limits.max_text_length,
        settings.limits.max_invalid_frames,
    )
    admission = Admission(manager, _places(settings))
    config = _gateway_config(settings)
    gateway = Gateway(manager, conversations, replayer, receiver, statuses, admission, config)
    return _Runtime(
        store,
        background,
        ids,
        manager,
        conversations,
        trail,
        typing,
        receipts,
        delivery,
        statuses,
        AISpeech(store, delivery, typing, settings.ai.typing_delay, simulated),
        tokens,
        admission,
        gateway,
        Shutdown(manager, gateway, receiver, delivery, settings.server.shutdown_grace),
        [each for each in (limiter, signal_limiter) if each is not None],
    )


def _begin_turns(settings: Settings, runtime: _Runtime, responder: Responder) -> None:
    ai = settings.ai
    turns = Turns(
        runtime.manager,
        runtime.conversations,
        runtime.store,
        responder,
        runtime.speech,
        runtime.typing,
        runtime.receipts,
        runtime.trail,
        runtime.background,
        TurnConfig(ai.turn_wait, ai.turn_max_wait, ai.history, ai.interrupt == "cancel"),
    )
    runtime.delivery.on_chat = turns.message_saved
    runtime.background.run(turns.resume(), "resume-turns")


def _begin_sweeping(settings: Settings, runtime: _Runtime) -> None:
    heartbeat, background = settings.heartbeat, runtime.background
    sweeper = Sweeper(runtime.manager, runtime.limiters, heartbeat.interval, heartbeat.timeout)
    background.run(sweeper.beat(), "heartbeat")
    background.run(sweeper.keep_time(), "keep-time")
    background.run(sweeper.measure_lag(), "measure-lag")


def _services(settings: Settings, runtime: _Runtime) -> Services:
    store, manager, conversations = runtime.store, runtime.manager, runtime.conversations
    delivery, shutdown = runtime.delivery, runtime.shutdown
    condition = Condition(VERSION, store, delivery, runtime.gateway)
    announcer = Announcer(manager)
    rooms = AIRooms(manager, conversations)
    longest = settings.limits.max_ai_text_length
    networks, origins = _networks(settings), settings.server.allowed_origins
    return Services(
        store,
        manager,
        runtime.gateway,
        Door(runtime.admission, networks, origins, runtime.tokens),
        shutdown,
        condition,
        Stats(condition, runtime.ids.prefix, store.backend, manager, delivery),
        AIMessages(rooms, runtime.speech, runtime.ids, longest),
        AISignals(rooms, runtime.typing, runtime.receipts, runtime.statuses),
        History(store, runtime.trail),
        ConversationResource(manager, conversations, store, announcer),
        UserResource(conversations, store, Presence(manager), manager.metrics),
        Operations(manager, store, announcer, shutdown, runtime.background, longest),
    )


def make_store(settings: Settings) -> MessageStore:
    """The store that `store.url` names. Raises StoreUnavailable."""
    url = settings.store.url
    if url == "memory://":
        return MemoryStore()
    if url.startswith("postgresql://"):
        raise StoreUnavailable("PostgreSQL is not built yet; sqlite:///FILE is")
    return SqliteStore(Path(url.removeprefix("sqlite:///")), settings.store.durability == "full")


def make_responder(settings: Settings) -> Responder | None:
    """Who `ai.responder` names; None where AI services speak through the REST API alone."""
    return DemoResponder() if settings.ai.responder == "demo" else None


def make_tokens(settings: Settings) -> Tokens | None:
    """None where no JWT is asked for. Raises UnusableKey."""
    auth = settings.auth
    key = auth.jwt_secret.get_secret_value()
    if auth.jwt_public_key_file:
        key = Path(auth.jwt_public_key_file).read_text(encoding="utf-8")
    return Tokens(key, auth.jwt_algorithms, auth.jwt_audience) if key else None


def _limiters(settings: Settings) -> tuple[RateLimiter | None, RateLimiter | None]:
    """Of messages, and of signals."""
    limit = settings.rate_limit
    if not limit.enabled:
        return None, None
    return RateLimiter(limit.messages, limit.window), RateLimiter(limit.signals, limit.window)


def _gateway_config(settings: Settings) -> GatewayConfig:
    limit = settings.rate_limit
    return GatewayConfig(
        heartbeat_interval=settings.heartbeat.interval,
        heartbeat_timeout=settings.heartbeat.timeout,
        max_text_length=settings.limits.max_text_length,
        rate_limit=RateLimit(messages=limit.messages, window=limit.window) if limit.enabled else None,
        auto_create=settings.conversations.auto_create,
        recovery_max_messages=settings.recovery.max_messages,
    )


def _places(settings: Settings) -> Places:
    limits = settings.connections
    return Places(limits.max_total, limits.max_per_ip, limits.max_per_user)


def _networks(settings: Settings) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in settings.server.trusted_proxies)
