"""chatctl events"""

import time
from contextlib import suppress
from itertools import takewhile
from typing import Annotated, Any

import typer

from chatctl.api import Api, UnreachableError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json_line, warn
from server.protocol import MAX_LISTED

POLL_SECONDS = 1.0
Event = dict[str, Any]

app = command_app()


@app.command(
    epilog=examples(
        "chatctl events",
        "chatctl events --follow | jq -c 'select(.code == 4002)'",
    )
)
def command(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that happen.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="Past events to begin with.")] = 20,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Print connects and disconnects as JSON lines.

    Reconnects and replacements too, the oldest first; --json makes no difference. With
    --follow a server that goes away is waited for; Ctrl-C ends it.
    """
    with Api(url, api_key) as api:
        seen = _newest_first(api, limit)
        _print(seen)
        with suppress(KeyboardInterrupt):
            while follow:
                time.sleep(POLL_SECONDS)
                seen = _go_on(api, seen)


def _go_on(api: Api, seen: list[Event]) -> list[Event]:
    try:
        now = _newest_first(api, MAX_LISTED)
    except UnreachableError as error:
        warn(str(error))
        return seen
    _print(fresh(now, seen))
    return now or seen


def fresh(now: list[Event], seen: list[Event]) -> list[Event]:
    """What stands before the first one seen; all, where none is left. Both are newest first.

    The newest one seen may be gone: a user's events go with the user.
    """
    known = {tuple(event.items()) for event in seen}
    return list(takewhile(lambda event: tuple(event.items()) not in known, now))


def _newest_first(api: Api, limit: int) -> list[Event]:
    items: list[Event] = api.get("/stats/events", limit=limit)["items"]
    return items


def _print(newest_first: list[Event]) -> None:
    for event in reversed(newest_first):
        print_json_line(event)
