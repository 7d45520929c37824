"""What commands print: JSON for scripts, tables for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatctl.text import printable

# Where nobody looks at it, in a pipe, nothing is worth cutting off.
PIPED_WIDTH = 500


def print_json(document: Any) -> None:
    """One JSON document. Escaped to ASCII, so that no character in it can steer a terminal."""
    print(json.dumps(document, indent=2))


def print_json_line(item: Any) -> None:
    """One object of a stream, on its own line and at once."""
    print(json.dumps(item), flush=True)


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers stand right, None is left empty."""
    cells = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for index, title in enumerate(head):
        is_number = any(isinstance(row[index], int | float) for row in cells)
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    console().print(table)
