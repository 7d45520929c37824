"""chatctl drain"""

import time
from typing import Annotated

import typer

from chatctl.api import Api, UnreachableError
from chatctl.failure import MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done, warn

POLL_SECONDS = 0.5

app = command_app()


@app.command(epilog=examples("chatctl drain", "chatctl drain --per-second 20", "chatctl drain --undo"))
def command(
    per_second: Annotated[
        int | None, typer.Option(min=1, help="Connections closed a second.", show_default="100")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let the node take connections again.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Empty a node gently, and wait until it is empty.

    It takes no new connections and tells each open one when to reconnect. The process
    stays until it is stopped, or goes on after --undo.
    """
    if undo and per_second is not None:
        raise CommandError("--undo and --per-second exclude each other", exit_code=MISUSED)
    with Api(url, api_key) as api:
        if undo:
            api.delete("/api/drain")
        else:
            api.post("/api/drain", per_second=per_second)
            _wait_until_empty(api)
    sentence = "the node takes connections again" if undo else "the node is empty"
    print_done({"drained": not undo}, sentence, as_json)


def _wait_until_empty(api: Api) -> None:
    told = None
    while left := _connections(api):
        if left != told:
            warn(f"{left} connection{'' if left == 1 else 's'} left")
        told = left
        time.sleep(POLL_SECONDS)


def _connections(api: Api) -> int:
    """Raises CommandError where somebody has undone the drain."""
    try:
        stats = api.get("/stats")
    except UnreachableError:  # stopped meanwhile: nobody is connected to it
        return 0
    if stats["server"]["status"] != "draining":
        raise CommandError("the drain was undone: the node takes connections again")
    return int(stats["connections"]["current"])
