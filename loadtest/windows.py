"""Whether a rate limit was kept, by the times at which messages were accepted."""

from collections.abc import Sequence
from typing import Final

from server.protocol import RateLimit

# Time stamps have milliseconds, and are taken a moment after the limit was asked.
_STAMP_TOLERANCE: Final = 0.010
# A flood's messages come at random: some room in a window stays empty for a moment.
_LEAST_USE: Final = 0.75


def overfull_windows(times: Sequence[float], limit: RateLimit) -> int:
    """How many windows hold more than the limit allows. `times` in seconds, ascending."""
    span = limit.window - _STAMP_TOLERANCE
    beyond = zip(times, times[limit.messages :], strict=False)
    return sum(1 for first, one_too_many in beyond if one_too_many - first < span)


def least_accepted(times: Sequence[float], limit: RateLimit) -> float:
    """How many messages at least a sender gets through, who sends all the time between these times."""
    if not times:
        return 1.0
    whole_windows = int((times[-1] - times[0]) / limit.window)
    return max(1.0, _LEAST_USE * limit.messages * whole_windows)
