import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_a_page_tells_to_run_exist(page: Path) -> None:
    modules = re.findall(r"python3? -m ((?:tests|loadtest|chatctl|server)[\w.]*)", page.read_text())
    missing = [
        m
        for m in modules
        if not any((ROOT / m.replace(".", "/")).glob("__main__.py"))
        and not (ROOT / (m.replace(".", "/") + ".py")).exists()
    ]
    assert not missing
