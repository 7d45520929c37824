"""chatctl export"""

import json
from typing import Annotated

import typer

from chatctl.api import Api, segment
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples

app = command_app()


@app.command(
    epilog=examples(
        "chatctl export user123 > user123.jsonl",
        "chatctl export user123 | jq 'select(.ai_generated == false).data'",
    )
)
def command(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Print everything kept about a user, as JSON lines.

    The user, then each conversation with its positions and messages; --json makes no difference.
    """
    with Api(url, api_key) as api:
        for line in api.lines(f"/api/users/{segment(user)}/export"):
            # Escaped to ASCII, so that no character in it can steer a terminal.
            print(json.dumps(json.loads(line)))
