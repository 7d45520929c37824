"""chatctl connections"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import local_time, print_json, print_table, warn_of_more
from server.protocol import MAX_LISTED

Row = dict[str, Any]

ORDERS: dict[str, Callable[[Row], Any]] = {
    "queue": lambda row: -row["queued"],
    "idle": lambda row: row["last_heartbeat"],
    "traffic": lambda row: -(row["sent"] + row["received"]),
}
COLUMNS = ("connection_id", "user_id", "conversation_id", "client_id", "ip", "queued", "sent", "received")

app = command_app()


@app.command(
    epilog=examples(
        "chatctl connections",
        "chatctl connections --sort idle --limit 5",
        "chatctl connections --json | jq '.items[].ip' | sort | uniq -c",
    )
)
def command(
    sort: Annotated[
        Literal["queue", "idle", "traffic"],
        typer.Option(help="queue: who falls behind; idle: who is silent; traffic: who sends and gets most."),
    ] = "queue",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="Connections to show.")] = 50,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """List live connections."""
    with Api(url, api_key) as api:
        page = api.get("/stats/connections", limit=MAX_LISTED)
    rows = sorted(page["items"], key=ORDERS[sort])
    shown = rows[:limit]
    page = {"items": shown, "has_more": page["has_more"] or len(rows) > limit}
    if as_json:
        print_json(page)
    else:
        cells = [(*(row[name] for name in COLUMNS), local_time(row["last_heartbeat"])) for row in shown]
        print_table((*(name.removesuffix("_id") for name in COLUMNS), "last heartbeat"), cells)
        warn_of_more(page, f"--limit shows up to {MAX_LISTED}")
