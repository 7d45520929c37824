"""History -> Rich renderables. Pure: the same history at the same size gives the same picture.

Three rows of sections under a heading: traffic, health, and what happens. A section is a title on a
rule and lines below it; what does not fit is left out from its end.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.padding import Padding
from rich.rule import Rule
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from chatctl.dashboard.figures import NONE, clock, count, duration, milliseconds, rate, size
from chatctl.dashboard.history import Curve, History
from chatctl.dashboard.sparkline import sparkline
from chatctl.text import printable

LABEL = "grey62"
QUIET = "grey42"
IN, OUT, LAG = "cyan", "green", "magenta"
GOOD, CARE, BAD = "green", "yellow", "red"
STATUS = {"ok": GOOD, "draining": CARE}

WIDEST = 130
WIDE = 110
NARROW = 76
TALL = 36
# The loop's lag is promised to stay under 20 ms; people notice 100.
LAG_CARE, LAG_BAD = 20.0, 100.0
# An answer takes seconds; who waits for a minute has noticed.
UNANSWERED_CARE = 60.0
AI_WIDTH = 22
ROOMS_MORE = 5  # columns for names, where three sections share a row
SERVICE = {"closed": ("up", GOOD), "half_open": ("slow start", CARE), "open": ("down", BAD)}


def dashboard(
    history: History, url: str, width: int, height: int, now: float, keys: str = ""
) -> RenderableType:
    """The whole screen. `now` is in monotonic seconds, as the snapshots' `at`; `keys` is the last line."""
    tall = height >= TALL
    traffic, health = (9, 10) if tall else (7, 6)
    screen = Layout()
    screen.split_column(
        Layout(_heading(history, url, width, now), size=1),
        Layout(_faded(history, _traffic(history, width, curve_height=3 if tall else 2)), size=traffic),
        Layout(_faded(history, _health(history, width)), size=health),
        Layout(_faded(history, _happenings(history, width, height - traffic - health - 3)), ratio=1),
        Layout(Text(keys or " ", style=QUIET), size=1),  # in place of an empty one Rich would show its size
    )
    return screen


def _faded(history: History, row: RenderableType) -> RenderableType:
    return Styled(row, "dim") if history.away else row


def _heading(history: History, url: str, width: int, now: float) -> RenderableType:
    server = history.latest.stats["server"]
    left = Text.assemble((" chatctl ", "bold"), (printable(url), LABEL))
    if history.away:
        right = Text(
            f"● no answer for {duration(history.seconds_away(now))} ({printable(history.away)}) ", style=BAD
        )
    else:
        right = Text.assemble(
            (f"● {printable(server['status'])}", STATUS.get(server["status"], BAD)),
            (f"  up {duration(server['uptime_seconds'])}  v{printable(server['version'])} ", LABEL),
        )
    room = width - right.cell_len
    return _columns([(left, room), (right, min(width, right.cell_len))])


# Traffic


def _traffic(history: History, width: int, curve_height: int) -> RenderableType:
    left, middle, right = _thirds(width)
    return _columns(
        [
            (_section("Connections", _connections(history)), left),
            (_section("Messages", _messages(history, middle - 2, curve_height)), middle),
            (_section("Latency over a minute", _latency(history, right - 2)), right),
        ]
    )


def _thirds(width: int) -> tuple[int, int, int]:
    """Columns of the upper rows; a narrow terminal has no third one."""
    left, right = (26, 40) if width >= WIDE else (21, 28) if width >= NARROW else (21, 0)
    return left, max(0, width - left - right), right


def _connections(history: History) -> RenderableType:
    connections = history.latest.stats["connections"]
    return _pairs(
        [
            ("devices now", count(connections["current"])),
            ("peak", count(connections["peak"])),
            ("users", count(connections["users"])),
            ("rooms", count(connections["conversations"])),
            ("reconnections", count(connections["reconnections"])),
            ("refused", _alarming(sum(connections["rejected"].values()))),
        ]
    )


def _messages(history: History, width: int, curve_height: int) -> RenderableType:
    messages = history.latest.stats["messages"]
    totals = Text.assemble(
        ("acked ", LABEL), count(messages["acked"]), ("  AI ", LABEL), count(messages["ai_responses"])
    )
    return Group(
        _curve("in/s", history.received, width, curve_height, IN),
        _curve("out/s", history.sent, width, curve_height, OUT),
        totals,
    )


def _curve(label: str, curve: Curve, width: int, height: int, color: str) -> RenderableType:
    head = Text.assemble((f"{label:<6}", LABEL), (f"{rate(curve.last):>7} ", "bold"))
    lines = sparkline(curve.values, width - head.cell_len, height)
    above = [Text(" " * head.cell_len).append(line, style=color) for line in lines[:-1]]
    return Group(*above, head.append(lines[-1], style=color))


def _latency(history: History, width: int) -> RenderableType:
    stats = history.latest.stats
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style=LABEL)
    for _ in range(4):
        grid.add_column(justify="right")
    grid.add_row("ms", *(Text(name, style=LABEL) for name in ("p50", "p95", "p99", "max")))
    for label, name in (("ACK", "ack"), ("commit", "commit")):
        figures = stats["latency_ms"][name]
        grid.add_row(label, *(milliseconds(figures[p]) for p in ("p50", "p95", "p99", "max")))
    return Group(grid, Text(""), _loop_lag(history, width), _batches(stats["store"]))


def _loop_lag(history: History, width: int) -> RenderableType:
    lag: float = history.latest.stats["process"]["event_loop_lag_ms"]
    style = BAD if lag >= LAG_BAD else CARE if lag >= LAG_CARE else ""
    text = Text.assemble(("loop lag ", LABEL), (milliseconds(lag), style), (" ms ", LABEL))
    (line,) = sparkline(history.loop_lag.values, max(0, width - text.cell_len), floor=LAG_CARE)
    return text.append(line, style=LAG)


def _batches(store: dict[str, Any]) -> RenderableType:
    batch = store["batch_size"]
    return Text.assemble(
        ("commit of ", LABEL), rate(batch["mean"]), (", at most ", LABEL), count(batch["max"])
    )


# Health


def _health(history: History, width: int) -> RenderableType:
    left, middle, right = _thirds(width)
    answers = AI_WIDTH if width >= WIDEST else 0  # elsewhere it stands below
    return _columns(
        [
            (_section("Server", _server(history)), left),
            (_section("AI", _ai(history)), answers),
            (_section("Errors", _errors(history)), middle - answers),
            (_section("NACKs", _nacks(history)), right),
        ]
    )


def _server(history: History) -> RenderableType:
    stats = history.latest.stats
    process, backplane = stats["process"], stats["backplane"]
    return _pairs(
        [
            ("CPU", f"{process['cpu_percent']:.0f}%"),
            ("memory", size(process["rss_bytes"])),
            (printable(stats["store"]["backend"]), f"{count(stats['store']['pending'])} pending"),
            (printable(backplane["backend"]), printable(str(backplane["status"]))),
            ("nodes", count(backplane["nodes"])),
            ("opened ever", count(stats["connections"]["total"])),
            ("node", printable(stats["server"]["node_id"])[:12]),
            ("pid", str(stats["server"]["pid"])),
        ]
    )


def _ai(history: History) -> RenderableType:
    """What is owed to users, and how the service is that answers."""
    ai = history.latest.stats["ai"]
    up, style = SERVICE.get(ai["breaker"], (printable(ai["breaker"]), BAD))
    oldest: float = ai["oldest_unanswered_seconds"]
    failures = sorted(ai["failures"].items(), key=lambda item: -item[1])
    return _pairs(
        [
            ("service", Text("paused", style=CARE) if ai["paused"] else Text(up, style=style)),
            ("waiting", count(ai["turns_waiting"])),
            ("oldest", Text(duration(oldest), style=CARE if oldest >= UNANSWERED_CARE else "")),
            ("dead letters", _alarming(ai["dead_letters"])),
            ("writing", count(ai["streams"])),
            *((printable(kind), _alarming(number)) for kind, number in failures if number),
        ]
    )


def _nacks(history: History) -> RenderableType:
    nacked: dict[str, int] = history.latest.stats["messages"]["nacked"]
    if not any(nacked.values()):
        return _nothing("none")
    ranked = sorted(nacked.items(), key=lambda item: -item[1])
    return _pairs([(printable(code), count(number)) for code, number in ranked if number])


def _errors(history: History) -> RenderableType:
    totals = history.latest.stats["errors"]
    lines = [_error_line(error) for error in _newest_first(history.latest.errors)]
    summary = Text.assemble(
        ("last minute ", LABEL), _alarming(totals["last_minute"]), ("  ever ", LABEL), count(totals["total"])
    )
    return Group(summary, *lines)


def _error_line(error: dict[str, Any]) -> Text:
    line = Text.assemble(
        (f"{clock(error['at'])} ", QUIET), printable(error["code"]), no_wrap=True, overflow="ellipsis"
    )
    context = [error.get("user_id"), error.get("text")]
    return line.append("".join(f" {printable(str(part))}" for part in context if part), style=LABEL)


# What happens


def _happenings(history: History, width: int, lines: int) -> RenderableType:
    answers = AI_WIDTH if NARROW <= width < WIDEST else 0
    left = (width - answers) // 2 + (ROOMS_MORE if answers else 0)
    return _columns(
        [
            (_section("Rooms", _rooms(history, left, lines)), left),
            (_section("AI", _ai(history)), answers),
            (_section("Events", _events(history, lines)), width - answers - left),
        ]
    )


def _rooms(history: History, width: int, lines: int) -> RenderableType:
    by_activity = sorted(history.latest.rooms, key=lambda room: str(room["last_activity"]), reverse=True)
    rooms = by_activity[:lines]
    if not rooms:
        return _nothing("nobody is here")
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    if width >= WIDE // 2:
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style=LABEL)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for room in rooms:
        names = [Text(printable(room["conversation_id"]))]
        names += [Text(printable(room["user_id"]))] if width >= WIDE // 2 else []
        grid.add_row(*names, _counted(room["devices"], "dev"), _counted(room["messages"], "msg"))
    return grid


def _counted(number: int, unit: str) -> Text:
    return Text.assemble(count(number), (f" {unit}", QUIET))


def _events(history: History, lines: int) -> RenderableType:
    events = list(_newest_first(history.latest.events))[:lines]
    return Group(*map(_event_line, events)) if events else _nothing("nothing yet")


EVENT_STYLES = {"connect": GOOD, "reconnect": IN, "replace": CARE, "disconnect": LABEL}


def _event_line(event: dict[str, Any]) -> Text:
    name = printable(event["event"])
    line = Text.assemble(
        (f"{clock(event['at'])} ", QUIET),
        (f"{name:<10} ", EVENT_STYLES.get(name, "")),
        printable(event.get("user_id") or NONE),
        (f" {printable(event.get('client_id') or '')[:8]}", LABEL),  # often a UUID
        no_wrap=True,
        overflow="ellipsis",
    )
    why = [event.get("code"), event.get("reason")]
    line.append("".join(f" {printable(str(part))}" for part in why if part), style=LABEL)
    return line.append(f" {printable(event.get('conversation_id') or '')}", style=QUIET)


# Parts


def _section(title: str, body: RenderableType) -> RenderableType:
    return Padding(Group(Rule(Text(title, style="bold"), align="left", style="grey30"), body), (0, 1))


def _columns(cells: Sequence[tuple[RenderableType, int]]) -> RenderableType:
    """Side by side; what has no width is left out."""
    grid = Table.grid()
    shown = [(cell, cell_width) for cell, cell_width in cells if cell_width > 0]
    for _, cell_width in shown:
        grid.add_column(width=cell_width, no_wrap=True, overflow="ellipsis")
    grid.add_row(*(cell for cell, _ in shown))
    return grid


def _pairs(rows: Iterable[tuple[str, str | Text]]) -> RenderableType:
    """Labels left, values right."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style=LABEL, no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    for label, value in rows:
        grid.add_row(Text(label), value if isinstance(value, Text) else Text(value))
    return grid


def _alarming(number: int) -> Text:
    return Text(count(number), style=CARE if number else "")


def _nothing(text: str) -> Text:
    return Text(text, style=QUIET)


def _newest_first(items: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item["at"]), reverse=True)
