"""The result as a table in the terminal."""

from collections.abc import Iterator
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chatctl.text import printable, printable_lines
from loadtest.ledger import Fault
from loadtest.result import Percentiles, Result

_STYLES: Final = {"passed": "bold green", "failed": "bold red", "not valid": "bold yellow"}
_FINDINGS_SHOWN: Final = 3


def print_result(result: Result, console: Console) -> None:
    """The figures, what was found, and the verdict last, where the eye is."""
    console.print(Group(*_parts(result)))


def _parts(result: Result) -> Iterator[RenderableType]:
    yield _counts(result)
    yield _latencies(result)
    yield from _findings(result)
    yield _verdict(result)


def _counts(result: Result) -> Table:
    table = Table.grid(padding=(0, 2))
    refused = sum(result.nacked.values())
    lost_connections = sum(result.disconnects.values())
    table.add_row("load", f"{result.users} users, {result.devices} devices, {result.send_rate:g} messages/s")
    table.add_row("messages", f"{result.sent} sent, {result.acked} ACKed, {refused} NACKed")
    table.add_row("deliveries", str(result.deliveries))
    table.add_row("faults", _faults(result))
    table.add_row("connections", f"{lost_connections} lost, {result.reconnects} reconnects")
    return table


def _faults(result: Result) -> Text:
    counts = [(fault.value.replace("_", " "), getattr(result, fault.value)) for fault in Fault]
    found = [Text(f"{count} {name}", style="bold red") for name, count in counts if count]
    return Text(", ").join(found) if found else Text("none")


def _latencies(result: Result) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("ms")
    for name in ("p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    table.add_row("send due to ACK", *_figures(result.latency_ms.ack))
    table.add_row("send due to each device", *_figures(result.latency_ms.delivery))
    if result.latency_ms.reconnect.count:
        table.add_row("connection lost to welcome", *_figures(result.latency_ms.reconnect))
    if result.latency_ms.piece.count:
        table.add_row("piece due to each device", *_figures(result.latency_ms.piece))
    if result.latency_ms.silence.count:
        table.add_row("cancel to silence", *_figures(result.latency_ms.silence))
    return table


def _figures(of: Percentiles) -> list[str]:
    return ["-" if value is None else f"{value:.2f}" for value in (of.p50, of.p90, of.p99, of.p99_9, of.max)]


def _findings(result: Result) -> Iterator[RenderableType]:
    for finding in result.findings[:_FINDINGS_SHOWN]:
        lines = [f"{moment.at_ms:10.3f} ms  {moment.event}" for moment in finding.timeline]
        title = f"{finding.fault}: {finding.message_id} in {finding.conversation_id}"
        body = printable_lines("\n".join([finding.detail, *lines]))
        yield Panel(Text(body), title=Text(printable(title)), title_align="left", border_style="red")
    if len(result.findings) > _FINDINGS_SHOWN:
        yield Text(f"and {len(result.findings) - _FINDINGS_SHOWN} more findings in the JSON and HTML reports")


def _verdict(result: Result) -> RenderableType:
    lines = Text()
    for objective in result.slos:
        value = "not measured" if objective.value is None else f"{objective.value:g}{objective.unit}"
        lines.append(f"{_mark(objective.passed)} {objective.expression}: {value}\n")
    for check in result.checks:
        lines.append(f"{_mark(check.passed)} {check.name}\n")
    for reason in (*result.invalid_because, *result.failed_because):
        lines.append(f"{printable(reason)}\n", style="red")
    for warning in result.warnings:
        lines.append(f"note: {printable(warning)}\n", style="dim")
    style = _STYLES[result.verdict]
    title = Text(f" {result.scenario}: {result.verdict} ", style=style)
    lines.rstrip()
    body = lines or Text("every message once, in order, to every device")
    return Panel(body, title=title, title_align="left", border_style=style)


def _mark(passed: bool) -> str:
    return "✓" if passed else "✗"
