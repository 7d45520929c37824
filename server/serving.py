"""Serves: as one process that is a node, or as several on one port, each a node."""

import asyncio
import errno
import gc
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from server.ai.model_http import UnusableProxy
from server.api.machine import MachineStatus, Siblings, sibling_router
from server.api.proxies import Proxies
from server.logs import configure_logs
from server.main import add_routes, new_app
from server.ports import BackplaneUnavailable, StoreUnavailable
from server.runtime.base.tokens import UnusableKey
from server.settings import Settings, shown
from server.standard_streams import abandon_output
from server.store.file_lock import DatabaseInUse
from server.store.schema_faults import SchemaTooNew, SchemaTooOld
from server.supervisor import Supervisor, WorkerPlace
from server.transport.binding import reserve
from server.transport.limits import Limits
from server.transport.private_server import private_server
from server.transport.uvicorn_server import Server, server_config
from server.wiring import VERSION, Services, open_services, trusted_proxies

log = structlog.get_logger()

_CANNOT_START: Final = 2  # exit code: usage or configuration
# Young objects to one collection. A message makes a dozen that live until their batch is answered; with
# Python's 700 the collector took a third of the time under load, for cycles that are not there.
_GC_THRESHOLD: Final = 50_000
# How long the loop may keep the interpreter from the thread that commits; Python's 5 ms are longer than
# a commit takes.
_SWITCH_SECONDS: Final = 0.0005


def serve(settings: Settings) -> int:
    """Run until SIGTERM or Ctrl-C; the exit code. Faults of the start are one line on stderr."""
    return serve_node(settings) if settings.server.workers == 1 else _serve_by_workers(settings)


def serve_node(settings: Settings, place: WorkerPlace | None = None) -> int:
    """Run this process as a node, alone or as the worker of that place; the exit code."""
    configure_logs(settings.log.level, settings.log.format)
    _allow_many_files()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()  # the modules are here to stay
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, place))
    except (DatabaseInUse, SchemaTooNew, SchemaTooOld, StoreUnavailable) as fault:
        return _refuse("store.url", settings.store.url, fault)
    except BackplaneUnavailable as fault:
        return _refuse("backplane.url", settings.backplane.url, fault)
    except UnusableKey as fault:
        key = "auth.jwt_public_key_file" if settings.auth.jwt_public_key_file else "auth.jwt_secret"
        return _refuse(key, settings.value_of(key), fault)
    except UnusableProxy as fault:
        key = "ai.webhook_url" if fault.url == settings.ai.webhook_url else "ai.base_url"
        return _refuse(key, fault.url, fault)


def _serve_by_workers(settings: Settings) -> int:
    configure_logs(settings.log.level, settings.log.format)
    try:
        reserved = reserve(settings.server.host, settings.server.port)
    except OSError as fault:
        return _refuse_address(settings, fault)
    with reserved, TemporaryDirectory(prefix="chatctl-") as folder:
        host, port = reserved.getsockname()[:2]
        server = settings.server.model_copy(update={"port": port})
        return asyncio.run(_supervise(settings.model_copy(update={"server": server}), Path(folder), host))


async def _supervise(settings: Settings, folder: Path, host: str) -> int:
    on_started = partial(_tell_start, settings, host, settings.server.port)
    return await Supervisor(settings, folder).run(on_started)


def _allow_many_files() -> None:
    """As many as the system lets this process have: each connection takes one, and shells often allow few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where "unlimited" is more than there may be
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings, place: WorkerPlace | None) -> int:
    async with open_services(settings) as services:
        proxies = trusted_proxies(settings)
        app = new_app(settings, proxies)
        config = server_config(
            app,
            Proxies(services.websocket, proxies),
            settings.server.host,
            settings.server.port,
            Limits(settings.limits.max_frame_bytes),
        )
        if place is None:
            add_routes(app, services)
            return await _listen(settings, config, services, partial(_tell_start, settings))
        async with _among_siblings(app, services, place):
            return await _listen(settings, config, services, _tell_supervisor, is_worker=True)


@asynccontextmanager
async def _among_siblings(app: FastAPI, services: Services, place: WorkerPlace) -> AsyncIterator[None]:
    """Have the application tell of all workers, and answer those who ask for this one's part."""
    siblings = Siblings(place.siblings)
    add_routes(app, services, MachineStatus(services.status, siblings))
    private = FastAPI(openapi_url=None)
    private.include_router(sibling_router(services.status))
    async with private_server(private, place.socket):
        try:
            yield
        finally:
            await siblings.close()


async def _listen(
    settings: Settings,
    config: uvicorn.Config,
    services: Services,
    on_started: Callable[[str, int], None],
    *,
    is_worker: bool = False,
) -> int:
    drain, grace = services.node.shutdown.drain, settings.server.shutdown_grace
    server = Server(config, drain, grace, on_started, shares_port=is_worker)
    if is_worker:
        _end_with_supervisor(server)
    try:
        await server.serve()
    except OSError as fault:
        return _refuse_address(settings, fault)
    return 0


def _end_with_supervisor(server: Server) -> None:
    """End in order when the supervisor's pipe does: it says so, or it is no more."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(sys.stdin.fileno())
        server.hang_up()

    loop.add_reader(sys.stdin.fileno(), closed)


def _tell_supervisor(host: str, port: int) -> None:
    log.info("listening", version=VERSION, host=host, port=port, pid=os.getpid())
    with suppress(OSError):
        print("listening", flush=True)


def _refuse(key: str, value: object, why: Exception | str | None) -> int:
    print(f"chatctl: {key} = {shown(key, value)}: {why}", file=sys.stderr)
    return _CANNOT_START


def _refuse_address(settings: Settings, fault: OSError) -> int:
    no_such_host = isinstance(fault, socket.gaierror) or fault.errno == errno.EADDRNOTAVAIL
    key = "server.host" if no_such_host else "server.port"
    return _refuse(key, settings.value_of(key), fault.strerror)


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
