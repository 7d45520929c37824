"""Options that several commands have, declared once."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option("--url", envvar="CHATCTL_URL", help="The server.")]
ApiKey = Annotated[
    str,
    typer.Option("--api-key", envvar="CHATCTL_API_KEY", help="The server's API key.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file.", show_default="config.toml, if there is one"),
]


def examples(*lines: str) -> str:
    """The end of a command's help. The backspace keeps the lines from being joined."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def command_app(help: str | None = None, epilog: str | None = None) -> typer.Typer:
    """What a command's module calls `app`; with `help` and `epilog` it is a group of commands."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=help is not None)
    if help is not None:
        app.callback(help=help, epilog=epilog)(lambda: None)
    return app
