"""chatctl dead-letters"""

from typing import Annotated, Any

import typer

from chatctl.api import Api, segment
from chatctl.failure import MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, examples
from chatctl.output import excerpt, print_done, print_json, print_lines, print_table, warn_of_more
from server.protocol import MAX_LISTED

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)

Conversation = Annotated[str, typer.Argument(help="The conversation's id.")]


@app.callback(
    help="See to turns that the AI service could not take.",
    epilog=examples(
        "chatctl dead-letters", "chatctl dead-letters replay", "chatctl dead-letters drop CONVERSATION"
    ),
)
def _root(
    context: typer.Context, url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False
) -> None:
    if context.invoked_subcommand is None:
        _print_list(url, api_key, as_json)


@app.command("list", epilog=examples("chatctl dead-letters list", "chatctl dead-letters list --json"))
def list_(url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """List them, the newest first; also without `list`."""
    _print_list(url, api_key, as_json)


@app.command(epilog=examples("chatctl dead-letters show conv_user123_ai_alex"))
def show(
    conversation: Conversation, url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False
) -> None:
    """Show those of a conversation, with the user's words and the whole error."""
    with Api(url, api_key) as api:
        page = api.get("/api/dead-letters", limit=MAX_LISTED)
        letters = [it for it in page["items"] if it["conversation_id"] == conversation]
        if not letters:
            raise CommandError(f"no dead letter of {conversation}")
        shown = [letter | {"messages": _messages(api, letter)} for letter in letters]
    if as_json:
        print_json({"items": shown})
        return
    for letter in shown:
        print_lines(f"{letter['failed_at']}  {letter['attempts']} attempts  {letter['last_error']}")
        print_table(("seq", "message"), [(it["seq"], it["data"]) for it in letter["messages"]])


@app.command(
    epilog=examples(
        "chatctl dead-letters replay",
        "chatctl dead-letters replay conv_user123_ai_alex",
        "chatctl dead-letters replay --since 2026-01-15T10:00:00Z",
    )
)
def replay(
    conversation: Annotated[
        str | None, typer.Argument(help="The conversation's id.", show_default="all")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Those that failed then or later, RFC 3339.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Send them to the AI service again, out of order."""
    if conversation is not None and since is not None:
        raise CommandError("CONVERSATION and --since exclude each other", exit_code=MISUSED)
    with Api(url, api_key) as api:
        answer = api.post("/api/dead-letters/replay", conversation_id=conversation, since=since)
    if not answer["replayed"]:
        raise CommandError("there is no dead letter to replay")
    print_done(answer, f"{answer['replayed']} sent again", as_json)


@app.command(epilog=examples("chatctl dead-letters drop conv_user123_ai_alex"))
def drop(
    conversation: Conversation, url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False
) -> None:
    """Drop those of a conversation; its messages stay."""
    with Api(url, api_key) as api:
        api.delete(f"/api/dead-letters/{segment(conversation)}")
    print_done({"dropped": conversation}, f"the dead letters of {conversation} are dropped", as_json)


def _print_list(url: str, api_key: str, as_json: bool) -> None:
    with Api(url, api_key) as api:
        page = api.get("/api/dead-letters", limit=MAX_LISTED)
    if as_json:
        print_json(page)
    else:
        print_table(("conversation", "messages", "attempts", "failed at", "error"), map(_row, page["items"]))
        warn_of_more(page, f"these are the {MAX_LISTED} newest")


def _row(letter: dict[str, Any]) -> tuple[object, ...]:
    seqs = ", ".join(map(str, letter["seqs"]))
    return (
        letter["conversation_id"],
        seqs,
        letter["attempts"],
        letter["failed_at"],
        excerpt(letter["last_error"]),
    )


def _messages(api: Api, letter: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the user's messages of a letter; fewer where they were deleted since."""
    if not (seqs := letter["seqs"]):
        return []
    path = f"/api/conversations/{segment(letter['conversation_id'])}/messages"
    page = api.get(path, after_seq=seqs[0] - 1, limit=min(MAX_LISTED, seqs[-1] - seqs[0] + 1))
    return [frame for frame in page["items"] if frame["seq"] in seqs]
