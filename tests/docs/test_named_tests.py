"""A test that a page names as a proof is there, and is one that is run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# What `node --test` runs there is run by tests/server/web/test_client.py.
JS_TESTS = "tests/server/web/"

_named = re.compile(r"`(tests/[^`]+?(?:\.py::|\.test\.js: )[^`]+)`").findall
NAMED = sorted({name for page in PAGES for name in _named(page.read_text("utf-8"))})


@cache
def collected(path: str) -> set[str]:
    """The tests of a file as pytest collects them. None here is in a class."""
    assert Path(path).match("test_*.py")
    return {
        statement.name
        for statement in ast.parse((ROOT / path).read_text("utf-8")).body
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        and statement.name.startswith("test_")
        and not any("mark.skip" in ast.unparse(decorator) for decorator in statement.decorator_list)
    }


@pytest.mark.parametrize("test", NAMED)
def test_a_named_test_is_there_and_is_run(test: str) -> None:
    if "::" in test:
        path, _, name = test.partition("::")
        assert name in collected(path)
    else:
        path, _, title = test.partition(": ")
        assert path.startswith(JS_TESTS)
        assert f"test('{title}', " in (ROOT / path).read_text("utf-8")


def test_pages_do_name_tests() -> None:
    assert len(NAMED) > 200
