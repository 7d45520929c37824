"""The result as JSON, CSV, a table and a page."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from loadtest import reports, slo
from loadtest.ledger import Fault, Finding, Moment
from loadtest.progress import Phase, Progress
from loadtest.reports.live import LiveView
from loadtest.reports.table import print_result
from loadtest.result import Point, Result, ServerSample
from loadtest.verdict import judge
from tests.loadtest.test_verdict import healthy

CHROMIUM = shutil.which("chromium")
NASTY = "</script><script>document.title='taken over'</script><b>"


@pytest.fixture
def result() -> Result:
    """A run with one of everything."""
    finding = Finding(
        Fault.LOST, "conv-1", "m-7", NASTY, [Moment(0.0, "sent"), Moment(4.2, "ACKed as seq 7")]
    )
    evidence = healthy(faults={"lost": 1}, findings=[finding], errors={"no answer in time": 2})
    return judge(replace(evidence, slos=[slo.parse("ack_p99<1ms"), slo.parse("lost<5")]))


def test_json_has_what_the_contract_names(result: Result) -> None:
    document = json.loads(reports.to_json(result))
    contract = (
        "scenario passed valid sent acked nacked lost duplicated out_of_order ghosts deliveries latency_ms"
    )
    assert set(document) >= {*contract.split(), "slos", "server", "machine"}
    assert set(document["latency_ms"]["delivery"]) >= {"p50", "p90", "p99", "p99_9", "max"}
    assert document["slos"][0] | {"value": 0} == {
        "expression": "ack_p99<1ms",
        "value": 0,
        "unit": " ms",
        "passed": False,
    }


def test_csv_has_a_row_for_each_second(result: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(reports.to_csv(result))))
    assert [row["t"] for row in rows] == [str(t) for t in range(12)]
    assert (rows[3]["sent"], rows[3]["server_cpu_percent"]) == ("10", "30.0")


@pytest.mark.parametrize(
    ("suffix", "begins"), [("html", "<!doctype html>"), ("csv", "t,sent"), ("json", "{")]
)
def test_the_suffix_decides_what_is_written(result: Result, tmp_path: Path, suffix: str, begins: str) -> None:
    path = tmp_path / f"report.{suffix}"
    reports.write(result, path)
    assert path.read_text().startswith(begins)


def test_the_table_tells_the_verdict_and_the_first_findings(result: Result) -> None:
    console = Console(width=100, file=io.StringIO(), highlight=False)
    print_result(result, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in (
        "fanout: failed",
        "1 lost",
        "m-7 in conv-1",
        "ACKed as seq 7",
        "✗ ack_p99<1ms: 20",
        "✓ lost<5: 1",
    ):
        assert part in text


def test_nothing_of_a_servers_text_steers_the_terminal(result: Result) -> None:
    evil = "\x1b[2J[red]\u202e"
    finding = Finding(Fault.GHOST, evil, evil, evil, [Moment(1.0, evil)])
    result = result.model_copy(
        update={
            "findings": [finding],
            "invalid_because": [evil],
            "warnings": [evil],
            "failed_because": [evil],
        }
    )
    console = Console(width=200, file=io.StringIO())
    print_result(result, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b" not in text and "\u202e" not in text
    assert text.count("\\x1b[2J[red]\\u202e") == 7


def test_the_live_view_draws_each_second() -> None:
    view = LiveView("fanout", total=10.0)
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print(view)
    last = Point(t=3, acked=100, ack_p50=1.5, ack_p99=9.25, server=ServerSample(cpu_percent=42.0))
    view.update(
        Progress(
            phase=Phase.MEASURING,
            t=4.0,
            users=20,
            sent=400,
            acked=399,
            nacked=0,
            deliveries=1200,
            errors=0,
            last=last,
        )
    )
    console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("starting", "measuring", "20 users", "399", "p50 1.50 ms  p99 9.25 ms", "42% CPU"):
        assert part in text


def test_the_page_is_one_file_without_network(result: Result) -> None:
    page = reports.to_html(result)
    assert not re.search(
        r"""(?:src|href)=|@import|url\(|fetch\(|https?://(?!127\.0\.0\.1:8000|www\.w3\.org)""", page
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
def test_the_page_shows_all_of_it_and_runs_nothing_of_a_servers_text(result: Result, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(reports.to_html(result))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    drawn = subprocess.run(
        [str(CHROMIUM), *flags, "--enable-logging=stderr", "--dump-dom", f"file://{tmp_path}/report.html"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Uncaught" not in drawn.stderr
    assert "<title>fanout: failed</title>" in drawn.stdout
    body = drawn.stdout.partition("<body>")[2].partition("<noscript>")[0]
    assert body.count("<svg") == 8
    for part in (
        "lost: 1",
        "ack_p99&lt;1ms",
        "no answer in time",
        "&lt;/script&gt;",
        "m-7 in conv-1",
        "4.200 ms",
    ):
        assert part in body
