"""Curves drawn with block characters."""

from collections.abc import Iterable, Sequence
from itertools import islice

BLOCKS = " ▁▂▃▄▅▆▇█"
LEVELS = len(BLOCKS) - 1


def sparkline(values: Sequence[float | None], width: int, height: int = 1, floor: float = 1.0) -> list[str]:
    """The newest `width` values as `height` lines, the newest at the right; what is None stays blank.

    The highest value shown reaches the top, unless all are below `floor`: then that would.
    A zero is the lowest block, so that a quiet server looks different from an absent one.
    """
    width = max(0, width)
    shown = list(islice(reversed(values), width))[::-1]
    top = max((value for value in shown if value is not None), default=0.0)
    scale = max(top, floor)
    heights = [_eighths(value, scale, height) for value in shown]
    rows = range(height - 1, -1, -1)
    return ["".join(_blocks(heights, row)).rjust(width) for row in rows]


def _eighths(value: float | None, scale: float, height: int) -> int:
    if value is None:
        return 0
    return max(1, min(LEVELS * height, round(value / scale * LEVELS * height)))


def _blocks(heights: Iterable[int], row: int) -> Iterable[str]:
    return (BLOCKS[max(0, min(LEVELS, eighths - row * LEVELS))] for eighths in heights)
