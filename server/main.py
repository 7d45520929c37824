"""Composition root: settings in, a running server out."""

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import structlog
import uvloop
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from server.ai.demo import DemoResponder
from server.api.access import Access, Keys, describe_access
from server.api.ai_messages import AIMessages, ai_messages_router
from server.api.ai_room import AIRooms
from server.api.ai_signals import AISignals, ai_signals_router
from server.api.conversations import ConversationResource, conversations_router
from server.api.errors import install_error_handlers
from server.api.guards import BodyLimit, no_writes_while_draining
from server.api.health import Condition, health_router
from server.api.history import History, history_router
from server.api.operations import Operations, operations_router
from server.api.page import page_router
from server.api.prometheus import prometheus_router
from server.api.stats import Stats, stats_router
from server.api.users import UserResource, users_router
from server.api.websocket import Door, websocket_route
from server.core.admission import Network, Places
from server.core.rate_limit import RateLimiter
from server.logs import configure_logs
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
from server.runtime.tokens import Tokens, UnusableKey
from server.runtime.trail import Trail
from server.runtime.turns import TurnConfig, Turns
from server.runtime.typing import TypingRelay
from server.settings import Settings, shown
from server.store.file_lock import DatabaseInUse
from server.store.memory import MemoryStore
from server.store.sqlite import SqliteStore
from server.store.sqlite_schema import SchemaTooNew
from server.transport.limits import Limits
from server.transport.uvicorn_server import Server, server_config

log = structlog.get_logger()

VERSION: Final = version("chatctl")
_CANNOT_START: Final = 2  # exit code: usage or configuration


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
        yield _wire(settings, store, responder, background)
    finally:
        await background.stop()
        if responder is not None:
            await responder.close()
        await store.close()


def _wire(
    settings: Settings, store: MessageStore, responder: Responder | None, background: Background
) -> Services:
    metrics = Metrics(settings.stats.history, settings.stats.errors)
    ids = IdMaker()
    manager = ConnectionManager(
        metrics, ids, Sessions(ids, settings.session.ttl), settings.connections.send_queue
    )
    conversations = Conversations(store, manager, ids, settings.store.timeout)
    trail = Trail(settings.stats.history)
    typing = TypingRelay(manager, ids, settings.typing.timeout, settings.typing.ai_timeout)
    receipts = Receipts(store, manager, ids, settings.store.timeout)
    replayer = Replayer(manager, store, background, settings.store.timeout)
    missed = Missed(store, replayer, background, settings.store.timeout)
    delivery = Delivery(store, manager, trail, typing, missed, settings.store.timeout)
    statuses = AIStatuses(manager, ids, background)
    simulated = SimulatedStatus(statuses) if settings.ai.simulate_status else None
    speech = AISpeech(store, delivery, typing, settings.ai.typing_delay, simulated)
    rooms = AIRooms(manager, conversations)
    announcer = Announcer(manager)
    limit = settings.rate_limit
    limiter = RateLimiter(limit.messages, limit.window) if limit.enabled else None
    signal_limiter = RateLimiter(limit.signals, limit.window) if limit.enabled else None
    tokens = make_tokens(settings)
    receiver = Receiver(
        manager,
        delivery,
        store,
        limiter,
        background,
        typing,
        Signals(manager, typing, receipts, background, tokens),
        settings.limits.max_text_length,
        settings.limits.max_invalid_frames,
        signal_limiter,
    )
    admission = Admission(manager, _places(settings))
    gateway = Gateway(
        manager, conversations, replayer, receiver, statuses, admission, _gateway_config(settings)
    )
    shutdown = Shutdown(manager, gateway, receiver, delivery, settings.server.shutdown_grace)
    limiters = [each for each in (limiter, signal_limiter) if each is not None]
    sweeper = Sweeper(manager, limiters, settings.heartbeat.interval, settings.heartbeat.timeout)
    if responder is not None:
        turns = Turns(
            manager,
            conversations,
            store,
            responder,
            speech,
            typing,
            receipts,
            trail,
            background,
            TurnConfig(
                settings.ai.turn_wait,
                settings.ai.turn_max_wait,
                settings.ai.history,
                settings.ai.interrupt == "cancel",
            ),
        )
        delivery.on_chat = turns.message_saved
        background.run(turns.resume(), "resume-turns")
    background.run(sweeper.beat(), "heartbeat")
    background.run(sweeper.keep_time(), "keep-time")
    background.run(sweeper.measure_lag(), "measure-lag")
    condition = Condition(VERSION, store, delivery, gateway)
    return Services(
        store,
        manager,
        gateway,
        Door(admission, _networks(settings), settings.server.allowed_origins, tokens),
        shutdown,
        condition,
        Stats(condition, ids.prefix, store.backend, manager, delivery),
        AIMessages(rooms, speech, ids, settings.limits.max_ai_text_length),
        AISignals(rooms, typing, receipts, statuses),
        History(store, trail),
        ConversationResource(manager, conversations, store, announcer),
        UserResource(conversations, store, Presence(manager), metrics),
        Operations(manager, store, announcer, shutdown, background, settings.limits.max_ai_text_length),
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


def make_tokens(settings: Settings) -> Tokens | None:
    """None where no JWT is asked for. Raises UnusableKey."""
    auth = settings.auth
    key = auth.jwt_secret.get_secret_value()
    if auth.jwt_public_key_file:
        key = Path(auth.jwt_public_key_file).read_text(encoding="utf-8")
    return Tokens(key, auth.jwt_algorithms, auth.jwt_audience) if key else None


def _places(settings: Settings) -> Places:
    limits = settings.connections
    return Places(limits.max_total, limits.max_per_ip, limits.max_per_user)


def _networks(settings: Settings) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in settings.server.trusted_proxies)


def add_routes(app: FastAPI, services: Services) -> None:
    """Everything that the server answers."""
    install_error_handlers(app, services.manager.metrics)
    app.state.store = services.store
    app.router.routes.append(websocket_route(services.gateway, services.door, services.manager.metrics))
    app.include_router(health_router(services.condition))
    app.include_router(stats_router(services.stats))
    app.include_router(prometheus_router(services.stats))
    guards = [Depends(no_writes_while_draining(services.shutdown))]
    for router in (
        ai_messages_router(services.ai_messages),
        ai_signals_router(services.ai_signals),
        history_router(services.history),
        conversations_router(services.conversations),
        users_router(services.users),
        operations_router(services.operations),
    ):
        app.include_router(router, dependencies=guards)


def _new_app(settings: Settings) -> FastAPI:
    app = FastAPI(title="chatctl", version=VERSION, description="Chat with AI companions in real time.")
    app.add_middleware(BodyLimit)
    keys = Keys([key.get_secret_value() for key in settings.auth.api_keys])
    origins = settings.server.allowed_origins
    app.add_middleware(Access, keys=keys, tokens=make_tokens(settings), allowed_origins=origins)
    if keys:
        describe_access(app)
    if origins:  # their pages read the history; a browser asks first, and without a key
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_headers=["Authorization"])
    if settings.server.web_client:
        app.include_router(page_router())
    return app


def create_app(settings: Settings) -> FastAPI:
    """The application for any ASGI server; it opens its services when its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            add_routes(app, services)
            yield
            await services.shutdown.drain()

    app = _new_app(settings)
    app.router.lifespan_context = lifespan
    return app


# Young objects to one collection. A message makes a dozen that live until their batch is answered; with
# Python's 700 the collector took a third of the time under load, for cycles that are not there.
_GC_THRESHOLD: Final = 50_000
# How long the loop may keep the interpreter from the thread that commits; Python's 5 ms are longer than
# a commit takes.
_SWITCH_SECONDS: Final = 0.0005


def serve(settings: Settings) -> int:
    """Runs until SIGTERM or Ctrl-C; the exit code. Faults of the start are one line on stderr."""
    configure_logs(settings.log.level, settings.log.format)
    _allow_many_files()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()  # the modules are here to stay
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings))
    except (DatabaseInUse, SchemaTooNew, StoreUnavailable) as fault:
        print(f"chatctl: store.url = {shown('store.url', settings.store.url)}: {fault}", file=sys.stderr)
        return _CANNOT_START
    except UnusableKey as fault:
        key = "auth.jwt_public_key_file" if settings.auth.jwt_public_key_file else "auth.jwt_secret"
        print(f"chatctl: {key} = {shown(key, settings.value_of(key))}: {fault}", file=sys.stderr)
        return _CANNOT_START


def _allow_many_files() -> None:
    """As many as the system lets this process have: each connection takes one, and shells often allow few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where "unlimited" is more than there may be
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings) -> int:
    async with open_services(settings) as services:
        app = _new_app(settings)
        add_routes(app, services)
        host, port = settings.server.host, settings.server.port
        config = server_config(app, host, port, Limits(settings.limits.max_frame_bytes))
        on_started = partial(_tell_addresses, settings.server.web_client)
        server = Server(config, services.shutdown.drain, settings.server.shutdown_grace, on_started)
        try:
            await server.serve()
        except OSError as fault:
            print(f"chatctl: server.port = {port}: {fault.strerror}", file=sys.stderr)
            return _CANNOT_START
    return 0


def _tell_addresses(has_page: bool, host: str, port: int) -> None:
    """To whoever started the server, and to the log."""
    log.info("listening", version=VERSION, host=host, port=port)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if has_page:
        print(f"Chat page  http://{where}/app")
    print(f"WebSocket  ws://{where}/ws/{{user_id}}?conversation_id=...")
    print(f"REST docs  http://{where}/docs")
    print(f"Health     http://{where}/health", flush=True)
