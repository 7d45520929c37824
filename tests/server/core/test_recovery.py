import pytest

from server.core.recovery import Replay, plan_replay
from server.protocol import Gap


def gap(first: int, last: int) -> Gap:
    return Gap.model_validate({"from": first, "to": last})


@pytest.mark.parametrize(
    ("newest", "last_seq", "known_epoch", "expected"),
    [
        (10, None, None, Replay(10, None)),  # a new device is not told the past
        (10, None, "other", Replay(10, None)),
        (10, 4, "e1", Replay(4, None)),
        (10, 4, None, Replay(4, None)),
        (10, 10, "e1", Replay(10, None)),
        (10, 0, "e1", Replay(0, None)),
        (30, 10, "e1", Replay(10, None)),  # 20 missed: the most that is replayed
        (31, 10, "e1", Replay(31, gap(11, 31))),
        (10, 4, "other", Replay(10, gap(1, 10))),
        (10, 11, "e1", Replay(10, gap(1, 10))),  # beyond the newest: the log was replaced
        (0, 5, "e1", Replay(0, None)),
        (0, 0, "other", Replay(0, None)),
        (0, 0, "e1", Replay(0, None)),
    ],
)
def test_a_device_is_replayed_what_it_missed_or_told_the_gap(
    newest: int, last_seq: int | None, known_epoch: str | None, expected: Replay
) -> None:
    assert plan_replay(newest, "e1", last_seq, known_epoch, max_messages=20) == expected
