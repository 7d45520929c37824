"""chatctl loadtest"""

from chatctl.options import command_app, examples

app = command_app(
    "Prove it under load, with a ledger of every message.",
    examples("chatctl loadtest list", "chatctl loadtest run fanout --serve"),
)
