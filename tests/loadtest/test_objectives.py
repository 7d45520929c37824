"""What an objective is held against."""

import pytest

from loadtest.objectives import growth


def test_growth_is_that_of_the_straight_line() -> None:
    assert growth([(float(t), 100.0 + t) for t in range(11)]) == pytest.approx(10.0)
    assert growth([(float(t), 100.0) for t in range(11)]) == pytest.approx(0.0)
    assert growth([(0.0, 100.0), (1.0, 200.0)]) is None
