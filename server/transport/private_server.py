"""A second server in the same process, on a Unix socket, for those who run it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp


class _PrivateServer(uvicorn.Server):
    """Leaves the signals to the process's own server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def private_server(app: ASGIApp, socket: Path) -> AsyncIterator[None]:
    """Serve the application at that path until the end of the context; in place of a process that died."""
    config = uvicorn.Config(app, uds=str(socket), lifespan="off", access_log=False, log_config=None)
    server = _PrivateServer(config)
    serving = asyncio.ensure_future(server.serve())
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving
