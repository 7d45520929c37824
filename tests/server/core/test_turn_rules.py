from typing import Any

import pytest

from server.core.model import Conversation, StoredMessage
from server.core.turn_rules import OpenTurn, gather_turn
from server.protocol import MessageType

ROOM = Conversation(1, "c", "kai", {"id": "ai"}, "e", 0)


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


def log(kinds: str) -> list[StoredMessage]:
    """`uua`: two messages of the user and one of the AI, seqs from 1."""
    types = {"u": MessageType.CHAT_MESSAGE, "a": MessageType.AI_RESPONSE}
    return [
        StoredMessage(seq, f"m{seq}", types[kind], "x", "text", 0, None, None)
        for seq, kind in enumerate(kinds, 1)
    ]


@pytest.mark.parametrize(
    ("kinds", "answered", "messages", "history"),
    [
        ("u", 0, [1], []),
        ("uu", 0, [1, 2], []),
        ("uauu", 1, [3, 4], [1, 2]),
        ("uua", 1, [2], [1]),  # the second came while the first was answered
        ("uau", 0, [3], [1, 2]),  # the answer was an AI service's own
        ("uauau", 3, [5], [3, 4]),
    ],
)
def test_the_turn_is_what_the_user_said_beyond_what_was_answered(
    kinds: str, answered: int, messages: list[int], history: list[int]
) -> None:
    turn = gather_turn(ROOM, log(kinds), answered, history=2)
    assert turn is not None
    assert [m.seq for m in turn.messages] == messages
    assert [m.seq for m in turn.history] == history


@pytest.mark.parametrize(("kinds", "answered"), [("", 0), ("ua", 1), ("ua", 0), ("uu", 2)])
def test_there_is_no_turn_when_all_is_answered(kinds: str, answered: int) -> None:
    nothing: Any = gather_turn(ROOM, log(kinds), answered, history=20)
    assert nothing is None
