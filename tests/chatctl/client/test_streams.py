"""Pieces of answers: what a device shows of them, and what it reports."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chatctl.client.events import Chunk, Event, Misplaced
from chatctl.client.session import Session
from chatctl.client.streams import Streams, grown
from tests.support.frames import frame, welcome


def piece(offset: int, text: str, message_id: str = "r") -> dict[str, Any]:
    data = {"text": text, "index": 0, "offset": offset}
    return {"type": "AI_RESPONSE_CHUNK", "message_id": message_id, "data": data}


def aborted(message_id: str = "r") -> dict[str, Any]:
    return {"type": "AI_RESPONSE_CHUNK", "message_id": message_id, "data": {"aborted": True}}


def told(streams: Streams, *frames: dict[str, Any]) -> list[str]:
    """The texts so far that are shown, `!` for each misplaced piece."""
    events = [event for each in frames for event in streams.piece(each)]
    return [event.so_far if isinstance(event, Chunk) else "!" for event in events]


def test_pieces_grow_to_the_text_so_far_counted_in_code_points() -> None:
    assert told(Streams(), piece(0, "a\U0001f600"), piece(2, "b"), piece(3, "c")) == [
        "a\U0001f600",
        "a\U0001f600b",
        "a\U0001f600bc",
    ]


def test_a_chunk_tells_what_is_new_of_it() -> None:
    streams = Streams()
    streams.piece(piece(0, "Hel"))

    misplaced, chunk = streams.piece(piece(2, "llo"))

    assert isinstance(misplaced, Misplaced)
    assert isinstance(chunk, Chunk)
    assert (chunk.text, chunk.so_far) == ("lo", "Hello")


def test_what_comes_after_a_hole_is_reported_and_not_shown_until_a_piece_has_all_of_it() -> None:
    pieces = (piece(0, "Hel"), piece(5, " wor"), piece(9, "ld"), piece(0, "Hello world"), piece(11, "."))

    assert told(Streams(), *pieces) == ["Hel", "!", "!", "!", "Hello world", "Hello world."]


def test_an_answer_whose_beginning_was_never_seen_is_not_shown_from_the_middle() -> None:
    assert told(Streams(), piece(4, "world")) == ["!"]


def test_what_was_shown_already_is_reported_and_not_shown_twice() -> None:
    assert told(Streams(), piece(0, "Hel"), piece(0, "Hel"), piece(1, "el")) == ["Hel", "!", "!"]


def test_a_piece_that_contradicts_what_is_shown_is_not() -> None:
    assert told(Streams(), piece(0, "Hello"), piece(2, "XX"), piece(5, ".")) == ["Hello", "!", "Hello."]


def test_an_answer_that_is_begun_anew_takes_the_place_of_what_was_shown() -> None:
    assert told(Streams(), piece(0, "Hello"), piece(0, "Good")) == ["Hello", "!", "Good"]


def test_an_abort_ends_the_text_and_the_same_answer_may_begin_again() -> None:
    streams = Streams()
    streams.piece(piece(0, "Hel"))

    (end,) = streams.piece(aborted())

    assert isinstance(end, Chunk)
    assert end.aborted
    assert told(streams, piece(0, "New")) == ["New"]


def test_an_abort_is_told_though_nothing_was_shown() -> None:
    (end,) = Streams().piece(aborted())

    assert isinstance(end, Chunk)
    assert end.aborted


def test_what_comes_after_the_whole_answer_is_reported_and_not_shown() -> None:
    streams = Streams()
    streams.piece(piece(0, "Hel"))
    streams.finish("r")

    assert told(streams, piece(3, "lo"), piece(0, "Hello"), aborted()) == ["!", "!"]


def test_another_log_may_give_out_the_old_names_anew() -> None:
    streams = Streams()
    streams.finish("r")
    streams.forget(log_replaced=False)
    assert told(streams, piece(0, "late")) == ["!"]

    streams.forget(log_replaced=True)
    assert told(streams, piece(0, "new")) == ["new"]


def test_only_the_last_finished_answers_are_remembered() -> None:
    streams = Streams()
    for number in range(101):
        streams.finish(f"r{number}")

    assert told(streams, piece(0, "a", "r0"), piece(0, "a", "r1")) == ["a", "!"]


def test_answers_side_by_side_do_not_disturb_each_other() -> None:
    assert told(Streams(), piece(0, "one"), piece(0, "two", "s"), piece(3, "."), piece(3, "?", "s")) == [
        "one",
        "two",
        "one.",
        "two?",
    ]


def test_a_reconnection_begins_with_all_of_the_text_or_with_nothing() -> None:
    session = Session("u", "c")

    def so_far(*frames: dict[str, Any]) -> list[str]:
        events: list[Event] = [event for each in frames for event in session.receive(json.dumps(each), 1.0)]
        return [event.so_far for event in events if isinstance(event, Chunk)]

    for _ in range(2):
        session.start_connection("ws://host", 0.0)
        session.receive(welcome(), 0.0)
        assert so_far(piece(3, "lo")) == []
        assert so_far(piece(0, "Hel"), piece(3, "lo")) == ["Hel", "Hello"]
        session.disconnected(1006, "", fraction=0.5)


def test_the_saved_answer_ends_its_stream() -> None:
    session = Session("u", "c")
    session.start_connection("ws://host", 0.0)
    session.receive(welcome(), 0.0)
    session.receive(json.dumps(piece(0, "Hel")), 1.0)
    session.receive(frame("AI_RESPONSE", message_id="r", seq=1, data="Hello"), 1.0)

    (late,) = session.receive(json.dumps(piece(3, "lo")), 1.0)

    assert isinstance(late, Misplaced)


TEXT = "H\U0001f600\U0001f600llo w\u00f6rld, aaaa aaaa aaaa"


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12)), max_size=30))
def test_whatever_pieces_come_what_is_shown_is_a_beginning_of_the_text_and_only_grows(
    cuts: list[tuple[int, int]],
) -> None:
    so_far = ""
    for offset, length in cuts:
        whole = grown(so_far, TEXT[offset : offset + length], offset)
        if whole is not None:
            assert TEXT.startswith(whole)
            assert len(whole) > len(so_far)
            so_far = whole
