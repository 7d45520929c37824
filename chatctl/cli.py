"""The command `chatctl`: which commands there are. Each is a module, imported when it is used."""

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from chatctl.options import examples

COMMANDS = {
    "serve": "Start the server.",
    "stats": "Watch the server live: traffic, latency, errors, rooms.",
    "chat": "Chat in the terminal; run it twice and you have two devices.",
    "send-ai": "Send a message as the AI to all devices of a conversation.",
    "conversations": "List a user's conversations.",
    "history": "Show a conversation's messages.",
    "export": "Print everything kept about a user, as JSON lines.",
    "match": "Match a user with an AI.",
    "announce": "Send a system announcement.",
    "typing": "Show or hide the AI's typing indicator.",
    "ai-status": "Tell whether an AI is there.",
    "connections": "List live connections.",
    "nodes": "List the nodes of a cluster.",
    "kick": "Close a connection.",
    "events": "Print connects and disconnects as JSON lines.",
    "trace": "Follow one message's way through the server.",
    "drain": "Empty a node gently, and wait until it is empty.",
    "dead-letters": "See to turns that the AI service could not take.",
    "webhook": "Pause or resume deliveries to the AI service.",
    "check": "Probe a server for monitoring: exit code 0 or 1.",
    "doctor": "Look for what will keep a server from working.",
    "db": "Look after the database: its schema's version, a backup.",
    "loadtest": "Prove it under load, with a ledger of every message.",
    "config": "Show, check or write the configuration.",
    "token": "Mint a JWT for development.",
    "errors": "Tell what a NACK or close code means and what to do.",
}


class CommandGroup(TyperGroup):
    """Knows the commands by name, so that one is not slowed down by what all others import."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command: {cmd_name}.{hint}")
        module = import_module(f"chatctl.commands.{cmd_name.replace('-', '_')}")
        return typer.main.get_command(module.app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(cls=CommandGroup, rich_markup_mode=None, no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"chatctl {version('chatctl')}")
        raise typer.Exit


@app.callback(
    help="A real-time chat server that never loses a message: run it, watch it, prove it.",
    epilog=examples(
        "chatctl serve",
        "chatctl chat user123 conv_user123_ai_alex",
        "chatctl stats",
        "chatctl loadtest run fanout --serve",
    ),
)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
