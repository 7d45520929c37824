"""Writes docs/cli.md from the help of the commands, docs/settings.md and config.toml from the schema.

Run it after a change of either: python docs/generate.py. A test fails while they differ.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from chatctl.cli import app
from chatctl.config_file import config_toml
from server.settings import SECTIONS, load_settings, note, shown
from server.settings.sources import OPTIONS

DOCS = Path(__file__).parent
CONFIG_FILE = DOCS.parent / "config.toml"
HELP_WIDTH = "80"

CLI_HEAD = """\
# chatctl

The command line. This page is made from each command's `--help` by `docs/generate.py`.

- Exit code 0: done. 1: the thing asked for failed. 2: usage or configuration.
- Errors are one line on standard error; `CHATCTL_TRACEBACK=1` shows where an internal one came from.
- `--json`, where a command prints data, prints one JSON document and nothing else on standard output.
- `CHATCTL_URL` names the server and `CHATCTL_API_KEY` the key, for commands that talk to one.
- Text that came from users is printed with control characters escaped.
- `chatctl --install-completion` teaches the shell the commands and their options.
"""

SETTINGS_HEAD = """\
# Settings

This page is made from the schema by `docs/generate.py`.

`config.toml` in the working directory (or `--config FILE`), then environment variables, then command-line
options; the later wins. The variable of `server.port` is `CHAT_SERVER__PORT`. A list in a variable is JSON or
comma-separated. Relative paths count from the working directory.

An unknown key or variable, a wrong type or values that do not fit each other stop the start with exit code 2
and one line per fault, which names the key, the value (secrets masked) and where it came from:

    chatctl: heartbeat.timeout = 20.0 (config.toml): should be above heartbeat.interval = 30.0 (default)

An address that other machines can reach wants JWT auth, API keys and secrets that cannot be guessed, or
`--insecure`. A key whose feature is not built yet is known; a start warns of all its values but the default.

`chatctl config show` tells the values in force and where each came from, `chatctl config check` validates,
and `chatctl config init` writes a commented `config.toml`.

## Behind a proxy

Name the proxy in `server.trusted_proxies`. Its X-Forwarded-For then tells the clients' addresses, its
X-Forwarded-Proto and -Host the URL that they know, its X-Forwarded-Prefix the path below which it offers the
server; of anybody else these headers are ignored, and a warning in the log says so once.
`server.root_path` is that path where the proxy does not send it. All is served, whether the proxy takes the
path off or not:

    location /chat/ {
        proxy_pass http://127.0.0.1:8000;  # with a slash at its end nginx takes /chat off
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Prefix /chat;
        proxy_read_timeout 90s;  # above heartbeat.interval
    }

The page is then at `/chat/app`, a device connects to `wss://HOST/chat/ws/...`, and the commands take
`--url https://HOST/chat`.
"""


def cli_page() -> str:
    """The whole of docs/cli.md."""
    os.environ["COLUMNS"] = HELP_WIDTH  # help is as wide as the terminal otherwise
    root = typer.main.get_command(app)
    return CLI_HEAD + "".join(_command_section(path, text) for path, text in _helps(root, None, "chatctl"))


def _helps(command: Any, parent: Any, name: str) -> Iterator[tuple[str, str]]:
    context = command.context_class(command, info_name=name, parent=parent)
    yield context.command_path, command.get_help(context)
    for child in getattr(command, "list_commands", lambda _: [])(context):
        yield from _helps(command.get_command(context, child), context, child)


def _command_section(path: str, text: str) -> str:
    return f"\n## {path}\n\n```text\n{text.rstrip()}\n```\n"


def settings_page() -> str:
    """The whole of docs/settings.md."""
    return SETTINGS_HEAD + "".join(map(_settings_section, SECTIONS))


def _settings_section(section: str) -> str:
    model = SECTIONS[section]
    lines = [
        "",
        f"## {section}",
        "",
        model.__doc__ or "",
        "",
        "| key | default | what it is |",
        "| --- | --- | --- |",
    ]
    for name, field in model.model_fields.items():
        key = f"{section}.{name}"
        option = f" Option `{OPTIONS[key]}`." if key in OPTIONS else ""
        manual = f"{field.description}{option} {note(key)}".rstrip()
        lines.append(f"| `{name}` | `{shown(key, field.default)}` | {manual} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(cli_page(), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    CONFIG_FILE.write_text(config_toml(load_settings(CONFIG_FILE, {}, {})), encoding="utf-8")
