"""What Linux tells of a process."""

import os
from pathlib import Path

# Fields of /proc/PID/stat, counted from the third on (behind the name, which may hold anything).
_USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 11, 12, 21


def cpu_seconds(pid: int) -> float | None:
    """The CPU time it has used; None where there is no /proc."""
    fields = _fields(pid)
    if fields is None:
        return None
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """Its memory; None where there is no /proc."""
    fields = _fields(pid)
    return None if fields is None else int(fields[_RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE")


def _fields(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
