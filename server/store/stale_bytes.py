"""Overwrites what SQLite leaves behind where it moves a row from one page to another.

`secure_delete` zeroes the place of a row that is deleted. But a page whose rows were redistributed keeps
earlier copies of them in its unallocated part, where they outlive the row itself. These are found among the
pages that a deletion has written to the log, and zeroed in the file once the log is empty.
"""

from collections.abc import Iterator
from typing import Final

# https://sqlite.org/fileformat2.html: b-tree pages, and the write-ahead log.
_LOG_HEADER, _FRAME_HEADER, _FILE_HEADER = 32, 24, 100
_HEADER_SIZES: Final = {2: 12, 5: 12, 10: 8, 13: 8}  # by a page's first byte
# From here on the number of a following page, with which other pages begin, could be taken for a first byte.
MOST_PAGES: Final = 0x02000000


def unallocated(page: bytes, number: int) -> tuple[int, int]:
    """Return where the unallocated part of a b-tree page begins and ends; nothing of any other page."""
    header = _FILE_HEADER if number == 1 else 0
    if (size := _HEADER_SIZES.get(page[header])) is None:
        return 0, 0
    cells = int.from_bytes(page[header + 3 : header + 5], "big")
    end = int.from_bytes(page[header + 5 : header + 7], "big") or 1 << 16
    begin = header + size + 2 * cells
    return (begin, end) if begin <= end <= len(page) else (0, 0)


def is_stale(page: bytes, number: int) -> bool:
    """Tell whether something stands where nothing is allocated."""
    begin, end = unallocated(page, number)
    return bool(page[begin:end].strip(b"\0"))


def frames(log: bytes, page_size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each page in a part of a log that begins with a frame."""
    step = _FRAME_HEADER + page_size
    for start in range(0, len(log) - step + 1, step):
        number = int.from_bytes(log[start : start + 4], "big")
        yield number, log[start + _FRAME_HEADER : start + step]


def extent(first: int, last: int, page_size: int) -> tuple[int, int]:
    """Return the offset and the length of frames `first` to before `last`, counted from 0, in a log."""
    step = _FRAME_HEADER + page_size
    return _LOG_HEADER + first * step, (last - first) * step
