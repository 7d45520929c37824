import pytest

from chatctl.dashboard.figures import count, duration, milliseconds, rate, size


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (count(0), "0"),
        (count(1234), "1,234"),
        (count(123_456), "123.5k"),
        (count(12_345_678), "12.35M"),
        (count(None), "-"),
        (rate(0), "0"),
        (rate(2.34), "2.3"),
        (rate(1234.5), "1,234"),
        (milliseconds(0.614), "0.61"),
        (milliseconds(14.92), "14.9"),
        (milliseconds(1284.4), "1,284"),
        (milliseconds(None), "-"),
        (duration(42), "42s"),
        (duration(187), "3m 07s"),
        (duration(8100), "2h 15m"),
        (duration(100 * 3600), "4d 4h"),
        (size(64 * 2**20), "64 MiB"),
        (size(3 * 2**29), "1.50 GiB"),
    ],
)
def test_figures_are_short_and_of_few_digits(shown: str, text: str) -> None:
    assert shown == text
