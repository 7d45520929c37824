"""chatctl history"""

from typing import Annotated, Any

import typer

from chatctl.api import Api, segment
from chatctl.failure import MISUSED, CommandError
from chatctl.finish import finish_in_words
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import local_time, print_json, print_table, warn_of_more
from server.protocol import MAX_PAGE

app = command_app()


@app.command(
    epilog=examples(
        "chatctl history conv_user123_ai_alex",
        "chatctl history conv_user123_ai_alex --after-seq 100 --limit 20",
        "chatctl history conv_user123_ai_alex --all --json > chat.json",
    )
)
def command(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="Messages to show.")] = 50,
    after_seq: Annotated[int | None, typer.Option(min=0, help="Those directly above this seq.")] = None,
    before_seq: Annotated[int | None, typer.Option(min=0, help="Those directly below this seq.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole history.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Show a conversation's messages.

    The newest, without further options."""
    if [after_seq is not None, before_seq is not None, everything].count(True) > 1:
        raise CommandError("--after-seq, --before-seq and --all exclude each other", exit_code=MISUSED)
    path = f"/api/conversations/{segment(conversation)}/messages"
    with Api(url, api_key) as api:
        if everything:
            page = _all(api, path)
        else:
            page = api.get(path, limit=limit, after_seq=after_seq, before_seq=before_seq)
    if as_json:
        print_json(page)
    else:
        print_table(("seq", "time", "sender", "text"), map(_row, page["items"]))
        warn_of_more(page, "go on with --after-seq or --before-seq, or take --all")


def _all(api: Api, path: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = api.get(path, limit=MAX_PAGE, after_seq=items[-1]["seq"] if items else 0)
        items += page["items"]
        has_more = page["has_more"]
    return {"items": items, "has_more": False}


def _row(message: dict[str, Any]) -> tuple[object, ...]:
    text = f"{message['data']} {finish_in_words(message.get('finish'))}".rstrip(" ")
    return message["seq"], local_time(message["timestamp"]), message["sender"], text
