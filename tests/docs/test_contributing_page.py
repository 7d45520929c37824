"""CONTRIBUTING.md leads to places that are there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PLACES = sorted(set(re.findall(r"`((?:server|chatctl|loadtest|tests)/[^`]+)`", PAGE)))


@pytest.mark.parametrize("place", PLACES)
def test_a_named_place_is_there(place: str) -> None:
    assert (ROOT / place).exists()


def test_the_lock_files_have_the_groups_that_the_page_locks_and_no_addresses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    for name, wanted in [
        ("requirements.txt", [*project["project"]["dependencies"], *extras["loadtest"]]),
        ("requirements-dev.txt", [*extras["loadtest"], *extras["cluster"], *groups["dev"]]),
    ]:
        lock = (ROOT / name).read_text("utf-8")
        assert "://" not in lock
        locked = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
        assert {re.match(r"[\w.-]+", each)[0] for each in wanted} <= locked  # type: ignore[index]
