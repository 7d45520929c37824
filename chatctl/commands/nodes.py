"""chatctl nodes"""

from typing import Any

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import local_time, print_json, print_table, warn

app = command_app()


@app.command(epilog=examples("chatctl nodes", "chatctl nodes --json | jq '.members[].node_id'"))
def command(url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """List the nodes of a cluster.

    The node that is asked tells what it knows. One that said no good-bye is shown as down for an hour.
    """
    with Api(url, api_key) as api:
        backplane = api.get("/stats")["backplane"]
    if as_json:
        print_json(backplane)
        return
    head = ("node", "status", "version", "connections", "messages/s", "started", "last seen")
    print_table(head, map(_cells, backplane["members"]))
    if backplane["status"] != "ok":
        warn("the node that was asked cannot reach the backplane: it tells what it knew before")


def _cells(member: dict[str, Any]) -> tuple[object, ...]:
    return (
        *(member[name] for name in ("node_id", "status", "version", "connections", "messages_per_second")),
        local_time(member["started_at"]),
        local_time(member["last_seen"]),
    )
