"""chatctl stats"""

from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console

from chatctl.api import Api
from chatctl.dashboard.live import draw_once, watch
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json

# A slower answer is as good as none on a picture that is drawn each second.
TIMEOUT = 3.0

app = command_app()


@app.command(
    epilog=examples(
        "chatctl stats",
        "chatctl stats --url https://chat.example --api-key KEY",
        "chatctl stats --once",
        "chatctl stats --json | jq .connections.current",
    )
)
def command(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Watch the server live: traffic, latency, errors, rooms.

    Keeps the last figures when the server goes away, and goes on when it is back. `q` or Ctrl-C ends it.
    Where the output is no terminal, or one that cannot be redrawn (TERM=dumb), one picture is printed;
    --json prints GET /stats.
    """
    with Api(url, api_key, timeout=TIMEOUT) as api:
        console = Console(highlight=False)
        if as_json:
            print_json(api.get("/stats"))
        elif once or not console.is_terminal or console.is_dumb_terminal:
            draw_once(api, console)
        else:
            with suppress(KeyboardInterrupt):
                watch(api, console)
