"""chatctl drain"""

import time
from typing import Annotated

import typer

from chatctl.api import Api, UnreachableError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done, warn

POLL_SECONDS = 0.5

app = command_app()


@app.command(epilog=examples("chatctl drain", "chatctl drain --per-second 20"))
def command(
    per_second: Annotated[
        int | None, typer.Option(min=1, help="Connections closed a second.", show_default="100")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Empty a node gently, and wait until it is empty.

    It takes no new connections and tells each open one when to reconnect. The process
    stays until it is stopped.
    """
    with Api(url, api_key) as api:
        api.post("/api/drain", per_second=per_second)
        told = None
        while left := _connections(api):
            if left != told:
                warn(f"{left} connections left")
            told = left
            time.sleep(POLL_SECONDS)
    print_done({"drained": True}, "the node is empty", as_json)


def _connections(api: Api) -> int:
    try:
        return int(api.get("/stats")["connections"]["current"])
    except UnreachableError:  # stopped meanwhile: nobody is connected to it
        return 0
