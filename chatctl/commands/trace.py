"""chatctl trace"""

from typing import Annotated, Any

import typer

from chatctl.api import Api, RefusedError, segment
from chatctl.failure import CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import local_time, print_json, print_lines, print_table
from server.protocol import MAX_LISTED

app = command_app()


@app.command(
    epilog=examples(
        "chatctl trace 0b8f4e6a-5c1d-4f0e-9a8e-3f6f3c0a9d11",
        "chatctl trace m1 --conversation conv_user123_ai_alex",
    )
)
def command(
    message_id: Annotated[str, typer.Argument(help="The message's id.")],
    conversation: Annotated[
        str | None,
        typer.Option(help="Where it was sent.", show_default="those that are open, or lately were"),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Follow one message's way through the server."""
    with Api(url, api_key) as api:
        trace = _trace(api, conversation, message_id) if conversation else _search(api, message_id)
    if as_json:
        print_json(trace)
        return
    message = trace["message"]
    print_lines(
        f"{message['type']} {message['message_id']} in {message['conversation_id']}, seq {trace['seq']}",
        f"from {message['sender']}: {message['data']}",
    )
    print_table(("time", "event", "details"), map(_row, trace["events"]))


def _trace(api: Api, conversation: str, message_id: str) -> Any:
    return api.get(f"/api/conversations/{segment(conversation)}/messages/{segment(message_id)}")


def _search(api: Api, message_id: str) -> Any:
    """Where it is, if that is one place. A message_id is unique within its conversation only."""
    open_now = api.get("/stats/conversations", limit=MAX_LISTED)["items"]
    lately = api.get("/stats/events", limit=MAX_LISTED)["items"]
    names = dict.fromkeys(each["conversation_id"] for each in open_now + lately)
    found = {name: trace for name in names if (trace := _trace_if_there(api, name, message_id))}
    if not found:
        raise CommandError(
            f"no conversation that is or lately was open has {message_id}; name its own with --conversation"
        )
    if len(found) > 1:
        raise CommandError(f"{message_id} is in {', '.join(found)}; choose one with --conversation")
    return next(iter(found.values()))


def _trace_if_there(api: Api, conversation: str, message_id: str) -> Any:
    try:
        return _trace(api, conversation, message_id)
    except RefusedError as refused:
        if refused.status == 404:
            return None
        raise


def _row(event: dict[str, Any]) -> tuple[str, str, str]:
    details = " ".join(f"{name}={value}" for name, value in event.items() if name not in ("at", "event"))
    return local_time(event["at"], "milliseconds"), event["event"], details
