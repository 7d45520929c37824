"""chatctl announce"""

from typing import Annotated

import typer

from chatctl.api import Api
from chatctl.failure import MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json, print_lines

app = command_app()


@app.command(
    epilog=examples(
        "chatctl announce 'Maintenance at 22:00 UTC, for five minutes.'",
        "chatctl announce 'Your photos are ready.' --user user123",
    )
)
def command(
    text: Annotated[str, typer.Argument(help="What the devices show.")],
    user: Annotated[str | None, typer.Option(help="To this user's devices.")] = None,
    conversation: Annotated[str | None, typer.Option(help="To this conversation's devices.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Send a system announcement.

    To everybody, or to one user or conversation; exit code 1 where none of their devices is connected: an
    announcement is not kept for later.
    """
    if user and conversation:
        raise CommandError("--user and --conversation exclude each other", exit_code=MISUSED)
    with Api(url, api_key) as api:
        answer = api.post("/api/system-messages", data=text, user_id=user, conversation_id=conversation)
    devices = answer["delivered_to"]
    if as_json:
        print_json(answer)
    if not devices and (user or conversation):
        where = f"{user} has no device connected" if user else f"nobody is connected to {conversation}"
        raise CommandError(f"{where}: the announcement reached nobody")
    if not as_json:
        to = user or conversation or "everybody"
        print_lines(f"announced to {to}: {devices} device{'' if devices == 1 else 's'}")
