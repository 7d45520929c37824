"""The application, and the process that serves it."""

import asyncio
import errno
import gc
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import structlog
import uvloop
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from server.ai.model_http import UnusableProxy
from server.api.access import OPEN_FOLDER, Access, Keys, describe_access
from server.api.ai_messages import ai_messages_router
from server.api.ai_service import ai_service_router
from server.api.ai_signals import ai_signals_router
from server.api.ai_streams import ai_streams_router
from server.api.conversations import conversations_router
from server.api.errors import install_error_handlers
from server.api.export import export_router
from server.api.guards import BodyLimit, TrailingSlash, no_writes_while_draining
from server.api.health import health_router
from server.api.history import history_router
from server.api.operations import operations_router
from server.api.page import page_router
from server.api.prometheus import prometheus_router
from server.api.proxies import Proxies
from server.api.stats import stats_router
from server.api.users import users_router
from server.api.websocket import websocket_route
from server.logs import configure_logs
from server.ports import StoreUnavailable
from server.runtime.base.tokens import UnusableKey
from server.settings import Settings, shown
from server.standard_streams import abandon_output
from server.store.file_lock import DatabaseInUse
from server.store.schema_faults import SchemaTooNew, SchemaTooOld
from server.transport.limits import Limits
from server.transport.uvicorn_server import Server, server_config
from server.wiring import VERSION, Services, make_tokens, open_services, trusted_networks

log = structlog.get_logger()

_CANNOT_START: Final = 2  # exit code: usage or configuration


def add_routes(app: FastAPI, services: Services) -> None:
    """Everything that the server answers."""
    node = services.node
    install_error_handlers(app, node.metrics)
    app.state.store, app.state.reads = node.store, node.reads
    app.router.routes.append(websocket_route(node.joins, services.checks, node.metrics))
    app.include_router(health_router(services.health))
    app.include_router(stats_router(services.stats))
    app.include_router(prometheus_router(services.stats))
    guards = [Depends(no_writes_while_draining(node.shutdown))]
    for router in (
        ai_messages_router(services.ai_messages),
        ai_streams_router(services.ai_streams),
        ai_signals_router(services.ai_signals),
        history_router(services.history),
        conversations_router(services.conversations),
        users_router(services.users),
        export_router(services.export),
        operations_router(services.operations),
        ai_service_router(services.ai_service),
    ):
        app.include_router(router, dependencies=guards)


def _new_app(settings: Settings) -> FastAPI:
    description = "Chat with AI companions in real time."
    app = FastAPI(title="chatctl", version=VERSION, description=description, redirect_slashes=False)
    app.add_middleware(BodyLimit)
    keys = Keys([key.get_secret_value() for key in settings.auth.api_keys])
    origins = settings.server.allowed_origins
    app.add_middleware(Access, keys=keys, tokens=make_tokens(settings), allowed_origins=origins)
    if keys:
        describe_access(app)
    if origins:  # their pages read the history; a browser asks first, and without a key
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_headers=["Authorization"])
    app.add_middleware(TrailingSlash, kept=OPEN_FOLDER)
    networks, root_path = trusted_networks(settings), settings.server.root_path
    app.add_middleware(Proxies, trusted=networks, root_path=root_path)  # added last, it is the outermost
    if settings.server.web_client:
        app.include_router(page_router())
    return app


def create_app(settings: Settings) -> FastAPI:
    """The application for any ASGI server; it opens its services when its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            add_routes(app, services)
            app.middleware_stack = app.build_middleware_stack()  # it was built before the error handlers came
            yield
            await services.node.shutdown.drain()

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
    except (DatabaseInUse, SchemaTooNew, SchemaTooOld, StoreUnavailable) as fault:
        print(f"chatctl: store.url = {shown('store.url', settings.store.url)}: {fault}", file=sys.stderr)
        return _CANNOT_START
    except UnusableKey as fault:
        key = "auth.jwt_public_key_file" if settings.auth.jwt_public_key_file else "auth.jwt_secret"
        print(f"chatctl: {key} = {shown(key, settings.value_of(key))}: {fault}", file=sys.stderr)
        return _CANNOT_START
    except UnusableProxy as fault:
        key = "ai.webhook_url" if fault.url == settings.ai.webhook_url else "ai.base_url"
        print(f"chatctl: {key} = {shown(key, fault.url)}: {fault}", file=sys.stderr)
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
        on_started = partial(_tell_start, settings)
        server = Server(config, services.node.shutdown.drain, settings.server.shutdown_grace, on_started)
        try:
            await server.serve()
        except OSError as fault:
            no_such_host = isinstance(fault, socket.gaierror) or fault.errno == errno.EADDRNOTAVAIL
            key = "server.host" if no_such_host else "server.port"
            print(f"chatctl: {key} = {shown(key, settings.value_of(key))}: {fault.strerror}", file=sys.stderr)
            return _CANNOT_START
    return 0


_ANSWERING: Final = {
    "none": "nobody, but for services that call the REST API",
    "demo": "a scripted persona",
    "webhook": "your service",
    "openai": "a model",
}


def _tell_start(settings: Settings, host: str, port: int) -> None:
    """Tell whoever started the server, and the log, where it is and who answers there."""
    responder = settings.ai.responder
    log.info("listening", version=VERSION, host=host, port=port, responder=responder)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [
        f"Chat page  http://{where}/app",
        f"WebSocket  ws://{where}/ws/{{user_id}}?conversation_id=...",
        f"REST docs  http://{where}/docs",
        f"Health     http://{where}/health",
        f'Answers    {_ANSWERING[responder]} (ai.responder = "{responder}")',
    ]
    try:
        print("\n".join(lines if settings.server.web_client else lines[1:]), flush=True)
    except OSError:  # nobody reads: serving goes on
        abandon_output()
