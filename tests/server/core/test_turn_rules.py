import pytest

from server.core.turn_rules import OpenTurn


@pytest.mark.parametrize(
    ("turn", "ends_at"),
    [
        (OpenTurn(began=10.0, quiet_since=10.0), 10.8),
        (OpenTurn(began=10.0, quiet_since=12.0), 12.8),
        (OpenTurn(began=10.0, quiet_since=17.9), 18.0),
        (OpenTurn(began=10.0, quiet_since=None), 18.0),
    ],
)
def test_a_turn_ends_when_the_user_is_quiet_or_after_its_longest_time(turn: OpenTurn, ends_at: float) -> None:
    assert turn.ends_at(wait=0.8, max_wait=8.0) == pytest.approx(ends_at)
