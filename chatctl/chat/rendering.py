"""Lines of a transcript as Rich shows them, and as plain text."""

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from chatctl.chat.transcript import Kind, Line, Transcript
from chatctl.client.outgoing import Status
from chatctl.text import printable, printable_lines

_TICKS = {
    Status.SENDING: ("✓", "bright_black"),
    Status.DELIVERED: ("✓✓", "green"),
    Status.FAILED: ("✗", "bold red"),
}
_NAMES = {Kind.OWN: "bold cyan", Kind.OTHER: "bold magenta"}
_DOTS = {"open": ("●", "green"), "closed": ("●", "red")}


def rich_line(line: Line) -> RenderableType:
    """Time, tick, name, text; a text that wraps is indented. Nothing in it can steer the terminal."""
    if line.kind is Kind.DAY:
        return Rule(line.text, style="dim")
    if line.kind is Kind.NOTE:
        return Text(f"-- {printable(line.text)}", "dim")
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=5, style="dim")
    grid.add_column(width=2)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    name = Text(printable(line.who), _NAMES[line.kind])
    text = Text(printable_lines(line.text))
    if line.finish:
        text.append(f" {printable(line.finish)}", "dim italic")
    grid.add_row(line.time, _tick(line), name, text)
    if line.reason:
        grid.add_row("", "", "", Text(printable(line.reason), "red"))
    return grid


def rich_open(transcript: Transcript, now: float) -> RenderableType:
    """What stands below the final lines: the open ones and the state of things."""
    return Group(*map(rich_line, transcript.open_lines()), status_line(transcript, now))


def status_line(transcript: Transcript, now: float) -> Text:
    dot, style = _DOTS.get(transcript.connection.state, ("●", "yellow"))
    parts = [_connection_text(transcript, now)]
    if transcript.connection.state == "open":
        seen = "seen" if transcript.seen_by_ai else ""
        parts += [transcript.ai_status, seen, *(f"{name} is typing…" for name in transcript.typists)]
    return Text.assemble((dot, style), " ", (printable(" · ".join(filter(None, parts))), "dim"))


def plain_line(line: Line) -> str:
    """For a pipe: one line, whatever is in it."""
    if line.kind is Kind.NOTE:
        return f"-- {printable(line.text)}"
    tick = f"{_TICKS[line.status][0]} " if line.status else ""
    return f"{tick}{printable(line.who)}: {printable(line.text)} {printable(line.finish)}".rstrip(" ")


def _tick(line: Line) -> Text:
    return Text(*_TICKS[line.status]) if line.status else Text()


def _connection_text(transcript: Transcript, now: float) -> str:
    connection = transcript.connection
    if connection.state == "open":
        return f"connected, {connection.devices} device{'' if connection.devices == 1 else 's'}"
    if connection.retry_at is None:
        return f"{connection.state} {connection.reason}".strip()
    seconds = max(0, round(connection.retry_at - now))
    why = f" ({connection.reason})" if connection.reason else ""
    return f"{connection.state} in {seconds} s{why}"
