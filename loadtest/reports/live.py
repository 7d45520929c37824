"""The run as it happens, in a terminal."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chatctl.dashboard.sparkline import sparkline
from loadtest.progress import Phase, Progress
from loadtest.result import Point

_HISTORY: Final = 48


class LiveView:
    """Takes each second's progress and draws it. `total`: seconds of the whole run, None if it has no end."""

    def __init__(self, title: str, total: float | None) -> None:
        self._title = title
        self._total = total
        self._progress: Progress | None = None
        self._rates: deque[float] = deque(maxlen=_HISTORY)
        self._latencies: deque[float] = deque(maxlen=_HISTORY)

    def update(self, progress: Progress) -> None:
        self._progress = progress
        if progress.last is not None:
            self._rates.append(progress.last.acked)
            self._latencies.append(progress.last.ack_p99 or 0.0)

    def __rich__(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return Panel(Text("starting", style="dim"), title=self._title, title_align="left")
        body = Group(self._head(progress), self._figures(progress), self._server(progress))
        return Panel(body, title=self._title, title_align="left")

    def _head(self, progress: Progress) -> RenderableType:
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(ratio=1)
        table.add_column(justify="right")
        done = progress.phase in (Phase.SETTLING, Phase.DONE)
        completed = self._total if done else progress.t
        table.add_row(ProgressBar(total=self._total, completed=completed or 0.0), f"{progress.t:.0f} s")
        table.add_row(Text(progress.phase, style="dim"), f"{progress.users} users")
        return table

    def _figures(self, progress: Progress) -> RenderableType:
        last = progress.last or Point(t=0)
        table = Table.grid(padding=(0, 3))
        table.add_row("sent", str(progress.sent), "ACKed/s", _curve(self._rates))
        table.add_row("ACKed", str(progress.acked), "ACK p99", _curve(self._latencies))
        table.add_row("NACKed", _alert(progress.nacked), "ACK", _pair(last.ack_p50, last.ack_p99))
        delivery = _pair(last.delivery_p50, last.delivery_p99)
        table.add_row("deliveries", str(progress.deliveries), "delivery", delivery)
        table.add_row("errors", _alert(progress.errors))
        return table

    def _server(self, progress: Progress) -> RenderableType:
        server = progress.last.server if progress.last else None
        if server is None:
            return Text("the server does not tell its metrics", style="dim")
        memory = f"{server.rss_bytes / 2**20:.0f} MiB" if server.rss_bytes else "-"
        busy = f"{server.cpu_percent or 0:.0f}% CPU, {memory}, loop lag {server.loop_lag_ms or 0:.1f} ms"
        work = f"{server.batch_mean or 0:.1f} messages a commit, {server.connections or 0} connections"
        return Text(f"server: {busy}, {work}", style="dim")


def _curve(values: Sequence[float]) -> str:
    """Draw the values as a row of bars, the highest one full."""
    return sparkline(values, len(values), floor=max(values, default=0.0) or 1.0)[0]


def _pair(p50: float | None, p99: float | None) -> str:
    return "-" if p50 is None or p99 is None else f"p50 {p50:.2f} ms  p99 {p99:.2f} ms"


def _alert(count: int) -> Text:
    return Text(str(count), style="bold red" if count else "")
