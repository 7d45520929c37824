"""docs/requirements.md names a place in the code and a proof for each line, and each place is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"

ROWS = re.findall(r"^\| (?!asked for|---)(.+?) \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
_quoted = re.compile(r"`([^`]+)`").findall
PLACES = sorted({place for _, places, _ in ROWS for place in _quoted(places)})


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


def test_every_line_has_a_place_and_a_proof() -> None:
    assert len(ROWS) > 150
    assert not [ask for ask, places, tests in ROWS if not (_quoted(places) and "`tests/" in tests)]
