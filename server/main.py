"""The application: what the server answers, around a node or for any ASGI server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

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
from server.api.proxies import Proxies, TrustedProxies
from server.api.stats import stats_router
from server.api.status import Status
from server.api.users import users_router
from server.api.websocket import websocket_route
from server.settings import Settings
from server.wiring import VERSION, Services, make_tokens, open_services, trusted_proxies


def add_routes(app: FastAPI, services: Services, status: Status | None = None) -> None:
    """Add everything that the server answers; `status` is told instead of the process's own."""
    node, status = services.node, status or services.status
    install_error_handlers(app, node.metrics)
    app.state.store, app.state.reads = node.store, node.reads
    app.router.routes.append(websocket_route(services.websocket))
    app.include_router(health_router(status.health))
    app.include_router(stats_router(status.stats))
    app.include_router(prometheus_router(status.stats))
    guards = [Depends(no_writes_while_draining(node.shutdown))]
    for router in (
        ai_messages_router(services.ai_messages),
        ai_streams_router(services.ai_streams),
        ai_signals_router(services.ai_signals),
        history_router(services.history),
        conversations_router(services.conversations),
        users_router(services.users),
        export_router(services.export),
        operations_router(services.operations, status.drain),
        ai_service_router(services.ai_service),
    ):
        app.include_router(router, dependencies=guards)


def new_app(settings: Settings, proxies: TrustedProxies) -> FastAPI:
    """Make the application without the routes that `add_routes` adds."""
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
    app.add_middleware(Proxies, trusted=proxies)  # added last, it is the outermost
    if settings.server.web_client:
        app.include_router(page_router())
    return app


def create_app(settings: Settings) -> FastAPI:
    """Make the application for any ASGI server; it opens its services when its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            add_routes(app, services)
            app.middleware_stack = app.build_middleware_stack()  # it was built before the error handlers came
            yield
            await services.node.shutdown.drain()

    app = new_app(settings, trusted_proxies(settings))
    app.router.lifespan_context = lifespan
    return app
