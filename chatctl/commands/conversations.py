"""chatctl conversations"""

from typing import Annotated, Any

import typer

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import excerpt, print_json, print_table, warn_of_more
from server.protocol import MAX_LISTED

app = command_app()


@app.command(epilog=examples("chatctl conversations user123", "chatctl conversations user123 --json"))
def command(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """List a user's conversations."""
    with Api(url, api_key) as api:
        page = api.get("/api/conversations", user_id=user, limit=MAX_LISTED)
    if as_json:
        print_json(page)
    else:
        print_table(("conversation", "AI", "messages", "unread", "last message"), map(_row, page["items"]))
        warn_of_more(page, f"these are the {MAX_LISTED} with the newest messages")


def _row(conversation: dict[str, Any]) -> tuple[object, ...]:
    last = conversation["last_message"]
    return (
        conversation["conversation_id"],
        conversation["ai"]["name"],
        conversation["last_seq"],
        conversation["unread"],
        excerpt(last["data"]) if last else None,
    )
