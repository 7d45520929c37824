"""Numbers, durations and times as people read them."""

from datetime import datetime

NONE = "-"


def count(value: float | None) -> str:
    """1,234; 56.7k; 8.90M."""
    if value is None:
        return NONE
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    if value >= 1e5:
        return f"{value / 1e3:.1f}k"
    return f"{round(value):,}"


def rate(value: float | None) -> str:
    """Per second; slow traffic with a decimal."""
    if value is None:
        return NONE
    return f"{value:.1f}" if 0 < value < 10 else count(value)


def milliseconds(value: float | None) -> str:
    """Three digits that count: 0.42, 12.9, 128."""
    if value is None:
        return NONE
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def duration(seconds: float) -> str:
    """Its two largest units: 42s, 3m 07s, 2h 15m, 4d 3h."""
    total = int(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02}s"
    if total < 86400:
        return f"{total // 3600}h {total // 60 % 60:02}m"
    return f"{total // 86400}d {total // 3600 % 24}h"


def size(bytes_: float) -> str:
    """In MiB, large ones in GiB."""
    mebibytes = bytes_ / 2**20
    return f"{mebibytes / 1024:.2f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"


def clock(timestamp: str) -> str:
    """The local time of day of an RFC 3339 stamp."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S")
