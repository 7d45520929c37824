"""The account of streamed answers finds what a server can do wrong with them, and invents nothing."""

import pytest

from loadtest.pieces import Pieces
from loadtest.plan import ONE_WINS, PIECES_JOIN

TEXT = "one two three"


class Account:
    """An answer of three pieces, due at 1, 2 and 3 s, and what was found wrong."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.pieces = Pieces(lambda invariant, how: self.found.append((invariant, how)))
        self.pieces.begin("a", TEXT)
        for end, due in ((4, 1.0), (8, 2.0), (13, 3.0)):
            self.pieces.wrote("a", end, due)

    @property
    def broken(self) -> set[str]:
        self.pieces.judge()
        return {invariant for invariant, _ in self.found}


def test_pieces_count_from_when_they_were_due_on_each_device_and_joined_ones_too() -> None:
    it = Account()
    assert it.pieces.saw("d0", "a", "one ") == [1.0]
    assert it.pieces.saw("d0", "a", TEXT) == [2.0, 3.0]
    assert it.pieces.saw("d1", "a", "one tw") == [1.0]
    assert it.pieces.saw("d1", "a", TEXT) == [2.0, 3.0]
    assert it.pieces.ended("d0", "a", TEXT, None, 3.5) is None
    assert it.pieces.due_of_end("a") == 3.0
    assert it.broken == set()


def test_an_answer_that_was_stopped_is_silent_so_long_after_the_cancel() -> None:
    it = Account()
    it.pieces.saw("d0", "a", "one two ")
    it.pieces.cancelled("a", 2.5)
    it.pieces.settled("a", "stopped")
    assert it.pieces.ended("d0", "a", "one two ", "cancelled", 2.75) == 0.25
    assert it.broken == set()


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    it = Account()
    it.pieces.saw("d0", "a", TEXT)
    it.pieces.cancelled("a", 3.5)
    it.pieces.settled("a", "too late")
    it.pieces.ended("d0", "a", TEXT, None, 3.6)
    assert it.broken == set()


def test_a_device_that_comes_in_the_middle_begins_anew() -> None:
    it = Account()
    it.pieces.saw("d0", "a", "one two ")
    it.pieces.joined("d0")
    assert it.pieces.saw("d0", "a", "one two ") == [1.0, 2.0]
    it.pieces.joined("d0")
    it.pieces.ended("d0", "a", TEXT, None, 4.0)  # the rest came while it was away
    assert it.broken == set()


def test_other_texts_than_were_written_or_shown_are_found() -> None:
    other, saved = Account(), Account()
    other.pieces.saw("d0", "a", "one thr")
    saved.pieces.saw("d0", "a", "one two ")
    saved.pieces.ended("d0", "a", TEXT, None, 4.0)
    assert (other.broken, saved.broken) == ({PIECES_JOIN}, {PIECES_JOIN})


def test_pieces_out_of_place_and_answers_taken_back_are_found() -> None:
    misplaced, aborted = Account(), Account()
    misplaced.pieces.misplaced("d0", "a")
    aborted.pieces.aborted("d0", "a")
    assert (misplaced.broken, aborted.broken) == ({PIECES_JOIN}, {PIECES_JOIN})


@pytest.mark.parametrize(
    ("verdict", "text", "finish"),
    [
        ("stopped", TEXT, None),
        ("too late", "one two ", "cancelled"),
        (None, "one two ", "cancelled"),
        (None, "one two ", "length"),
        (None, "one two ", None),
    ],
)
def test_a_cancel_and_an_end_that_both_win_or_neither_are_found(
    verdict: str | None, text: str, finish: str | None
) -> None:
    it = Account()
    it.pieces.saw("d0", "a", text)
    if verdict is not None:
        it.pieces.cancelled("a", 2.5)
        it.pieces.settled("a", verdict)  # type: ignore[arg-type]  # a Literal
    it.pieces.ended("d0", "a", text, finish, 3.0)
    assert it.broken == {ONE_WINS}


def test_a_service_may_break_an_answer_off_but_what_is_saved_was_shown() -> None:
    found: list[str] = []
    pieces = Pieces(lambda invariant, how: found.append(invariant), has_service=True)
    pieces.saw("d0", "answer-1", "one ")
    pieces.aborted("d0", "answer-1")
    pieces.ended("d0", "answer-1", "another", None, 1.0)
    pieces.saw("d0", "answer-2", "one ")
    pieces.saw("d0", "answer-2", "one two")
    pieces.ended("d0", "answer-2", "one two", None, 2.0)
    pieces.judge()
    assert found == []
    pieces.saw("d0", "answer-3", "one ")
    pieces.ended("d0", "answer-3", "another", None, 3.0)
    assert found == [PIECES_JOIN]
