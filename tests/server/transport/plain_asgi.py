"""The application under uvicorn as it comes, on a free port: `server.main.create_app` over plain ASGI."""

import asyncio
import socket

import uvicorn

from server.main import create_app
from server.settings import load_settings


async def main() -> None:
    app = create_app(load_settings())
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws="websockets-sansio", log_config=None, ws_per_message_deflate=False, proxy_headers=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(f"ws://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    await serving


asyncio.run(main())
