"""A result as a document for machines, spreadsheets and people."""

from pathlib import Path

from loadtest.reports.page import to_html
from loadtest.reports.spreadsheet import to_csv
from loadtest.result import Result

__all__ = ["to_csv", "to_html", "to_json", "write"]


def to_json(result: Result) -> str:
    """The whole result; docs/loadtest.md describes it."""
    return result.model_dump_json(indent=2)


def write(result: Result, path: str | Path) -> None:
    """Writes the report that the file's suffix asks for: .html, .csv, else JSON."""
    render = {".html": to_html, ".csv": to_csv}.get(Path(path).suffix, to_json)
    Path(path).write_text(render(result), encoding="utf-8")
