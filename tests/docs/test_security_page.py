"""docs/security.md names a test for every attack, and each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (?!attack|---)(.+?) \| .+ \| (.+) \|$",
    (ROOT / "docs" / "security.md").read_text("utf-8"),
    re.MULTILINE,
)
TESTS = sorted({test for _, tests in ROWS for test in re.findall(r"`([^`]+)`", tests)})


def test_every_attack_has_a_test() -> None:
    assert len(ROWS) > 40
    assert not [attack for attack, tests in ROWS if "::test_" not in tests]


@pytest.mark.parametrize("test", TESTS)
def test_every_test_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)
