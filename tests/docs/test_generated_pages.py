"""Pages made from the code are as the code is now."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "maker"), [("cli.md", "cli_page"), ("settings.md", "settings_page")])
def test_the_page_is_up_to_date(page: str, maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = runpy.run_path(str(DOCS / "generate.py"))[maker]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, "run: python docs/generate.py"
