"""Turns against the history: what a server can do wrong with them is found, and nothing is invented."""

from collections.abc import Callable
from typing import Any

import pytest

from loadtest.plan import ANSWERED_ONCE, IN_ONE_TURN, TURNS_IN_ORDER
from loadtest.service.account import Account, Delivery
from loadtest.turns import broken

Frame = dict[str, Any]


def said(seq: int, text: str = "") -> Frame:
    return {"seq": seq, "type": "CHAT_MESSAGE", "message_id": f"m{seq}", "data": text or f"text {seq}"}


def answer(seq: int, to: int, text: str = "", again: str = "") -> Frame:
    message_id = f"answer-{to}{again}"
    return {"seq": seq, "type": "AI_RESPONSE", "message_id": message_id, "data": text or f"to {to}"}


class Conversation:
    """Two messages in one turn, then one in another; each answered. What differs is for the tests to say."""

    def __init__(self) -> None:
        self.account = Account()
        self.history = [said(1), said(2), answer(3, to=2), said(4), answer(5, to=4)]

    def arrives(self, turn: str, *frames: Frame) -> Delivery:
        return self.account.arrived(turn, {"conversation_id": "c", "messages": list(frames)})

    def goes(self, turn: str, *frames: Frame) -> None:
        """It arrives and is taken."""
        self.account.taken(self.arrives(turn, *frames), f"to {frames[-1]['seq']}")

    @property
    def broken(self) -> set[str]:
        return {invariant for invariant, _ in broken(self.history, self.account.of("c"))}


def test_what_is_as_it_should_be_is_not_complained_of() -> None:
    it = Conversation()
    it.arrives("t1", said(1), said(2))  # it failed
    it.goes("t1", said(1), said(2))
    it.goes("t1", said(1), said(2))  # and once more: at least once
    it.goes("t2", said(4))
    assert it.broken == set()


def test_an_answer_may_be_given_under_a_second_id_and_late() -> None:
    it = Conversation()
    it.goes("t1", said(1), said(2))
    it.goes("t2", said(4))
    it.history = [said(1), said(2), said(4), answer(5, to=4), answer(6, to=2, again="-2")]
    assert it.broken == set()


def loses_a_turn(it: Conversation) -> None:
    it.goes("t1", said(1), said(2))


def loses_a_message(it: Conversation) -> None:
    it.goes("t1", said(2))
    it.goes("t2", said(4))


def never_takes(it: Conversation) -> None:
    it.goes("t1", said(1), said(2))
    it.arrives("t2", said(4))


def doubles_a_turn(it: Conversation) -> None:
    it.goes("t1", said(1), said(2))
    it.goes("t2", said(4))
    it.goes("t3", said(4))


def doubles_a_message(it: Conversation) -> None:
    it.goes("t1", said(1), said(2))
    it.goes("t2", said(2), said(4))


def alters(it: Conversation) -> None:
    it.goes("t1", said(1), said(2, "another"))
    it.goes("t2", said(4))


def invents(it: Conversation) -> None:
    it.goes("t1", said(1), said(2))
    it.goes("t2", said(3), said(4))


def reorders(it: Conversation) -> None:
    it.goes("t2", said(4))
    it.goes("t1", said(1), said(2))


def reorders_within(it: Conversation) -> None:
    it.goes("t1", said(2), said(1))
    it.goes("t2", said(4))


def hurries(it: Conversation) -> None:
    first = it.arrives("t1", said(1), said(2))
    second = it.arrives("t2", said(4))
    it.account.taken(first, "to 2")
    it.account.taken(second, "to 4")


def grows(it: Conversation) -> None:
    it.arrives("t1", said(1))
    it.goes("t1", said(1), said(2))
    it.goes("t2", said(4))


def _answered_otherwise(*frames: Frame) -> Callable[[Conversation], None]:
    def act(it: Conversation) -> None:
        it.goes("t1", said(1), said(2))
        it.goes("t2", said(4))
        it.history = [said(1), said(2), said(4), *frames]

    return act


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (loses_a_turn, {IN_ONE_TURN, ANSWERED_ONCE}),
        (loses_a_message, {IN_ONE_TURN}),
        (never_takes, {IN_ONE_TURN, ANSWERED_ONCE}),
        (doubles_a_turn, {IN_ONE_TURN, TURNS_IN_ORDER, ANSWERED_ONCE}),
        (doubles_a_message, {IN_ONE_TURN, TURNS_IN_ORDER}),
        (alters, {IN_ONE_TURN}),
        (invents, {IN_ONE_TURN}),
        (reorders, {TURNS_IN_ORDER}),
        (reorders_within, {TURNS_IN_ORDER, ANSWERED_ONCE}),
        (hurries, {TURNS_IN_ORDER}),
        (grows, {IN_ONE_TURN, TURNS_IN_ORDER, ANSWERED_ONCE}),
        (_answered_otherwise(answer(5, to=4)), {ANSWERED_ONCE}),
        (_answered_otherwise(answer(5, 2), answer(6, 2, again="-2"), answer(7, 4)), {ANSWERED_ONCE}),
        (_answered_otherwise(answer(5, 2, "mine"), answer(6, 4)), {ANSWERED_ONCE}),
        (_answered_otherwise(answer(5, 2), answer(6, 4), answer(7, 1)), {ANSWERED_ONCE}),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(
    act: Callable[[Conversation], None], expected: set[str]
) -> None:
    it = Conversation()
    act(it)
    assert it.broken == expected
