"""Writes docs/images/dashboard.svg: what `chatctl stats` shows of a server under load for a minute.

Run it after a change of the dashboard's look: python docs/picture.py
"""

import re
from io import StringIO
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI

from chatctl.api import Api
from chatctl.dashboard.history import History
from chatctl.dashboard.live import fetch
from chatctl.dashboard.view import dashboard
from loadtest.launch import Launch, run
from loadtest.local_server import local_server
from loadtest.progress import Phase, Progress

PICTURE: Final = Path(__file__).parent / "images/dashboard.svg"
WIDTH, HEIGHT = 120, 36
# Rich would have every reader fetch a font from elsewhere.
SVG: Final = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def watched(api: Api) -> History:
    """A minute of mixed load, 400 messages a second, seen once a second."""
    history = History(fetch(api))

    def look(progress: Progress) -> None:
        if progress.phase in (Phase.WARMING_UP, Phase.MEASURING):
            history.add(fetch(api))

    load = Launch(
        "soak",
        api.url,
        users=40,
        spawn_rate=10.0,
        devices=2,
        rate=400.0,
        duration=60.0,
        processes=1,
        slos=[],
        api_key="",
    )
    run(load, look)
    return history


def main() -> None:
    with local_server({}) as server, Api(server.url, "") as api:
        history = watched(api)
    console = Console(
        width=WIDTH,
        height=HEIGHT,
        file=StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(dashboard(history, server.url, WIDTH, HEIGHT, history.latest.at))
    console.save_svg(
        str(PICTURE), title="chatctl stats", theme=MONOKAI, code_format=SVG, unique_id="dashboard"
    )


if __name__ == "__main__":
    main()
