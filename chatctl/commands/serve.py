"""chatctl serve"""

from typing import Annotated

import typer

from chatctl.options import Config, command_app, examples
from chatctl.output import warn
from chatctl.settings import settings_of
from server.serving import serve
from server.settings import warnings

app = command_app()


@app.command(
    epilog=examples(
        "chatctl serve",
        "chatctl serve --port 9000 --responder demo",
        "chatctl serve --store memory:// --log-level debug",
        "CHAT_RATE_LIMIT__MESSAGES=100 chatctl serve --config /etc/chat.toml",
    )
)
def command(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    store: Annotated[
        str | None, typer.Option(help="Where messages are kept: a sqlite, postgresql or memory URL.")
    ] = None,
    backplane: Annotated[str | None, typer.Option(help="What joins several nodes: a redis URL.")] = None,
    responder: Annotated[str | None, typer.Option(help="Who answers: none, demo, webhook or openai.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a public address without JWT and API keys.")
    ] = False,
) -> None:
    """Start the server.

    Options win over environment variables (CHAT_SERVER__PORT), these over config.toml.
    Ctrl-C, SIGTERM, SIGQUIT or SIGHUP drains it: what has arrived is answered, then every
    connection is closed.
    """
    options = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "store.url": store,
        "backplane.url": backplane,
        "ai.responder": responder,
        "log.level": log_level,
    }
    given = {key: value for key, value in options.items() if value is not None}
    settings = settings_of(config, given, insecure=insecure)
    for line in warnings(settings):
        warn(f"warning: {line}")
    raise typer.Exit(serve(settings))
