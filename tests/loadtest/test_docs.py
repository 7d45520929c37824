"""docs/loadtest.md names everything that it has to."""

from pathlib import Path

import pytest

from loadtest import slo
from loadtest.ledger import Fault
from loadtest.plan import SCENARIOS
from loadtest.result import Result

PAGE = (Path(__file__).parents[2] / "docs" / "loadtest.md").read_text("utf-8")
_FIELDS = [*Result.model_fields, *Result.model_computed_fields]
_METRICS = [name for name in slo.METRICS if not name.endswith(("_mean", "_max"))]


@pytest.mark.parametrize("name", sorted({*_FIELDS, *_METRICS, *SCENARIOS, *(fault.value for fault in Fault)}))
def test_the_page_has(name: str) -> None:
    assert name in PAGE
