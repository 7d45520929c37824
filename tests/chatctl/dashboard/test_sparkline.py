import pytest

from chatctl.dashboard.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 4, 8], "▁▄█"),
        ([], "   "),
        ([8], "  █"),
        ([100, 0, 4, 8], "▁▄█"),
        ([8, None, 8], "█ █"),
        ([0, 0, 0], "▁▁▁"),
    ],
)
def test_the_newest_values_stand_right_and_the_highest_reaches_the_top(
    values: list[float | None], line: str
) -> None:
    assert sparkline(values, 3) == [line]


def test_several_lines_give_finer_steps() -> None:
    assert sparkline([0, 4, 8, 12, 16], 5, height=2) == ["   ▄█", "▁▄███"]


def test_small_values_stay_small_below_the_floor() -> None:
    assert sparkline([1, 2], 2, floor=16) == ["▁▁"]


def test_no_room_is_no_curve() -> None:
    assert sparkline([1, 2], -3) == [""]
