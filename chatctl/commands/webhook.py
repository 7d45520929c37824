"""chatctl webhook"""

from chatctl.api import Api
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_done

app = command_app(
    help="Pause or resume deliveries to the AI service.",
    epilog=examples("chatctl webhook pause", "chatctl webhook resume"),
)


@app.command(epilog=examples("chatctl webhook pause"))
def pause(url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Stop all deliveries, over restarts too. What is unanswered waits."""
    _tell("pause", {"paused": True}, "deliveries are paused", url, api_key, as_json)


@app.command(epilog=examples("chatctl webhook resume"))
def resume(url: Url = DEFAULT_URL, api_key: ApiKey = "", as_json: Json = False) -> None:
    """Let deliveries go on, also after the AI service had answered 410."""
    _tell("resume", {"paused": False}, "deliveries go on", url, api_key, as_json)


def _tell(act: str, result: dict[str, object], sentence: str, url: str, api_key: str, as_json: bool) -> None:
    with Api(url, api_key) as api:
        api.post(f"/api/webhook/{act}")
    print_done(result, sentence, as_json)
