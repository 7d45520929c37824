"""chatctl match"""

from typing import Annotated

import typer

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done
from server.protocol import ai_name_of

app = command_app()


@app.command(
    epilog=examples("chatctl match user123 ai_alex", "chatctl match user123 ai_sam --name 'Sam from Lisbon'")
)
def command(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    ai_id: Annotated[str, typer.Argument(help="The AI's id.")],
    name: Annotated[str | None, typer.Option(help="The AI's name.", show_default="made from its id")] = None,
    conversation: Annotated[
        str | None, typer.Option(help="The conversation's id.", show_default="the server makes one")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Match a user with an AI.

    Creates their conversation and tells the user's devices."""
    ai = {"id": ai_id, "name": name or ai_name_of(ai_id)}
    with Api(url, api_key) as api:
        answer = api.post("/api/matches", user_id=user, ai=ai, conversation_id=conversation)
    print_done(answer, f"matched {user} with {ai['name']} in {answer['conversation_id']}", as_json)
