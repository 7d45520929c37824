"""What docs/requirements.md names is there: each place in the code, and each test, as one that is run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"
# What `node --test` runs there is run by tests/server/web/test_client.py.
JS_TESTS = ROOT / "tests" / "server" / "web"

ROWS = re.findall(r"^\| (?!asked for|---)(.+?) \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
_quoted = re.compile(r"`([^`]+)`").findall
PLACES = sorted({place for _, places, _ in ROWS for place in _quoted(places)})
TESTS = sorted({test for _, _, tests in ROWS for test in _quoted(tests)})


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def names(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What statements define, each with the statements within it."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[statement.name] = statement.body
        elif isinstance(statement, ast.Assign):
            found |= {target.id: [] for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = []
    return found


def has_python_name(path: str, name: str) -> bool:
    body = ast.parse(source(path)).body
    for part in name.split("."):
        if (inner := names(body).get(part)) is None:
            return False
        body = inner
    return True


def has_js_name(path: str, name: str) -> bool:
    text = source(path)
    owner, _, method = name.partition(".")
    start = re.search(rf"^(export )?(class|(async )?function) {owner}\b", text, re.MULTILINE)
    if start is None:
        return False
    end = text.find("\n}\n", start.start())
    return (
        not method
        or re.search(rf"^  (async )?{method}\(", text[start.start() : end], re.MULTILINE) is not None
    )


@pytest.mark.parametrize("place", PLACES)
def test_every_place_in_the_code_is_there(place: str) -> None:
    path, _, name = place.partition(":")
    assert (ROOT / path).is_file()
    has_name = has_js_name if path.endswith(".js") else has_python_name
    assert not name or has_name(path, name)


def collected(path: str) -> set[str]:
    """The tests of a file as pytest collects them: no class and no other name has one here."""
    assert path.startswith("tests/") and Path(path).match("test_*.py")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        statement.name
        for statement in ast.parse(source(path)).body
        if isinstance(statement, functions)
        and statement.name.startswith("test_")
        and not any("mark.skip" in ast.unparse(decorator) for decorator in statement.decorator_list)
    }


@pytest.mark.parametrize("test", TESTS)
def test_every_test_is_there_and_is_run(test: str) -> None:
    path, separator, name = test.partition("::")
    if separator:
        assert name in collected(path)
    else:
        path, _, title = test.partition(": ")
        assert (ROOT / path).is_relative_to(JS_TESTS) and path.endswith(".test.js")
        assert f"test('{title}', " in source(path)


def test_every_line_has_a_place_and_a_proof() -> None:
    assert len(ROWS) > 150
    assert not [ask for ask, places, tests in ROWS if not (_quoted(places) and _quoted(tests))]
