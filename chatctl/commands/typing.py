"""chatctl typing"""

from typing import Annotated, Literal

import typer

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done

app = command_app()


@app.command(
    epilog=examples("chatctl typing conv_user123_ai_alex on", "chatctl typing conv_user123_ai_alex off")
)
def command(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    state: Annotated[Literal["on", "off"], typer.Argument(help="on or off.")],
    ai_id: Annotated[str | None, typer.Option(help="Must be the conversation's AI.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Show or hide the AI's typing indicator."""
    with Api(url, api_key) as api:
        answer = api.post("/api/typing", conversation_id=conversation, is_typing=state == "on", ai_id=ai_id)
    print_done(answer, f"typing is {state} in {conversation}", as_json)
