"""A command line on a page is one that chatctl understands."""

from pathlib import Path

import pytest

from tests.support.command_lines import chatctl_lines, parse

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
LINES = sorted({tuple(words) for page in PAGES for words in chatctl_lines(page.read_text("utf-8"))})


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_a_command_line_on_a_page_is_understood(words: tuple[str, ...]) -> None:
    parse(list(words))


def test_pages_do_have_command_lines() -> None:
    assert ("loadtest", "run", "fanout", "--serve", "--html", "report.html") in LINES
