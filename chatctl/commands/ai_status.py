"""chatctl ai-status"""

from typing import Annotated, Literal

import typer

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done

app = command_app()


@app.command(epilog=examples("chatctl ai-status ai_alex online", "chatctl ai-status ai_alex away"))
def command(
    ai_id: Annotated[str, typer.Argument(help="The AI's id.")],
    status: Annotated[Literal["online", "offline", "away"], typer.Argument(help="online, offline or away.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Tell whether an AI is there.

    Every open conversation with it shows the status."""
    with Api(url, api_key) as api:
        answer = api.post("/api/ai-status", ai_id=ai_id, status=status)
    print_done(answer, f"{ai_id} is {status}", as_json)
