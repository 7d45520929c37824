"""chatctl kick"""

from typing import Annotated

import typer

from chatctl.api import Api, segment
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done

app = command_app()


@app.command(epilog=examples("chatctl connections", "chatctl kick 3f2a9c"))
def command(
    connection_id: Annotated[str, typer.Argument(help="As chatctl connections shows it.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Close a connection.

    Its client does not reconnect by itself (1000)."""
    with Api(url, api_key) as api:
        api.delete(f"/api/connections/{segment(connection_id)}")
    print_done({"connection_id": connection_id, "closed": True}, f"closed {connection_id}", as_json)
