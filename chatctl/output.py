"""What commands print: JSON for scripts, tables for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
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


def print_done(answer: Any, sentence: str, as_json: bool) -> None:
    """What came of a command that does something: the server's answer as JSON, or a sentence."""
    if as_json:
        print_json(answer)
    else:
        print_lines(sentence)


def print_lines(*lines: str) -> None:
    for line in lines:
        print(printable(line))


def warn(line: str) -> None:
    """Something to know that is no result: a line on standard error."""
    print(f"chatctl: {printable(line)}", file=sys.stderr)


def warn_of_more(page: Any, how: str) -> None:
    """Where the server's list goes on beyond what is shown."""
    if page["has_more"]:
        warn(f"there are more: {how}")


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of a text."""
    return text if len(text) <= length else text[: length - 1] + "…"


def local_time(timestamp: str, precision: str = "seconds") -> str:
    """Formats an RFC 3339 stamp in the time zone of whoever looks at it; to "seconds" or "milliseconds"."""
    return datetime.fromisoformat(timestamp).astimezone().replace(tzinfo=None).isoformat(" ", precision)


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
