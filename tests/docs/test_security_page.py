"""docs/security.md names a test for every attack."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (?!attack|---)(.+?) \| .+ \| (.+) \|$",
    (ROOT / "docs" / "security.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_every_attack_has_a_test() -> None:
    assert len(ROWS) > 40
    assert not [attack for attack, tests in ROWS if "::test_" not in tests]
