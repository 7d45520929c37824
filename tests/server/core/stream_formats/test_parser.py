"""Streams of real providers, cut anywhere, give the text that is in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.stream_formats import StreamParser, chat_completion_parser, make_parser
from server.core.visible_text import shows_something
from server.protocol import ErrorCode, Finish
from tests.server.core.stream_formats.recorded import (
    LINE_SEPARATOR,
    OPENAI,
    PLAIN_TEXT,
    RECORDED,
    SMILE,
    Recorded,
    chunk,
)

STRUCTURED = [pytest.param(it, id=name) for name, it in RECORDED.items() if it is not PLAIN_TEXT]
Result = tuple[str, Finish | None, ErrorCode | None]


def parser_for(format: str) -> StreamParser:
    parser = make_parser(None, format)
    assert parser is not None
    return parser


def read(parser: StreamParser, *pieces: bytes) -> Result:
    text = "".join(parser.feed(piece) for piece in pieces) + parser.close()
    return text, parser.finish, parser.fault.code if parser.fault else None


def read_all(format: str, *pieces: bytes) -> Result:
    return read(parser_for(format), *pieces)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("recorded", STRUCTURED)
def test_a_stream_cut_at_any_byte_gives_its_text_and_its_end(recorded: Recorded, end: str) -> None:
    body = recorded.body(end)
    expected = (recorded.text, recorded.finish, recorded.fault)
    for cut in range(len(body) + 1):
        assert read_all(recorded.format, body[:cut], body[cut:]) == expected
    assert read_all(recorded.format, *(body[i : i + 1] for i in range(len(body)))) == expected


@pytest.mark.parametrize("recorded", STRUCTURED)
def test_the_last_line_may_lack_its_end(recorded: Recorded) -> None:
    body = recorded.body().rstrip(b"\n")
    assert read_all(recorded.format, body) == (recorded.text, recorded.finish, recorded.fault)


@pytest.mark.parametrize("recorded", STRUCTURED)
def test_the_reason_is_the_providers(recorded: Recorded) -> None:
    parser = parser_for(recorded.format)
    read(parser, recorded.body())
    if recorded.fault is None:
        assert parser.reason == recorded.reason


def test_who_reads_no_further_gets_what_was_held_back() -> None:
    parser = chat_completion_parser()
    body = chunk({"content": "1 <"}) + "\n\n" + chunk({}, "stop") + '\n\ndata: {"choices":[],"usa'
    assert (parser.feed(body.encode()), parser.reason, parser.stop()) == ("1 ", "stop", "<")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_text_is_itself_but_for_thoughts_and_what_is_white_at_its_beginning(end: str) -> None:
    body = PLAIN_TEXT.body(end)
    expected = end.join([f"Dear{LINE_SEPARATOR}{SMILE},", "", "data: [DONE]", "yours  ", ""])
    for cut in range(len(body) + 1):
        assert read_all("text", body[:cut], body[cut:]) == (expected, None, None)


def test_text_comes_as_soon_as_its_event_does() -> None:
    parser = parser_for("sse")
    assert parser.feed(b"data: Hello\n") == ""
    assert parser.feed(b"\n") == "Hello"
    assert parser.feed(b"data: you\r\r") == "you"
    assert parser_for("text").feed(b"H") == "H"


def test_an_empty_chunk_does_not_part_a_line_end() -> None:
    parser = parser_for("sse")
    assert [parser.feed(piece) for piece in (b"data: a\r", b"", b"\n", b"\r", b"\n")] == ["", "", "", "a", ""]


def test_what_came_before_a_fault_is_not_lost_with_it() -> None:
    parser = parser_for("sse")
    assert parser.feed(b'data: a\n\ndata: b\n\ndata: {"error": "gone"}\n\ndata: c\n\n') == "ab"
    assert parser.is_over
    assert parser.fault is not None
    assert parser.fault.text == "the stream ended with an error: gone"
    assert parser.feed(b"data: d\n\n") == parser.close() == ""


@pytest.mark.parametrize(
    "error",
    [
        {"type": "overloaded_error", "message": "Overloaded"},
        {"code": 503, "message": "Overloaded"},
        "overloaded_error:\n Overloaded",
        {"strange": "Overloaded"},
        ["Overloaded"],
    ],
)
def test_an_error_of_any_shape_is_told_in_one_line(error: object) -> None:
    parser = parser_for("ndjson")
    parser.feed(json.dumps({"error": error}).encode() + b"\n")
    assert parser.fault is not None
    assert "Overloaded" in parser.fault.text
    assert "\n" not in parser.fault.text


def test_one_space_behind_the_colon_is_no_text_and_a_second_one_is() -> None:
    assert read_all("sse", b"data:a\n\ndata: b\n\ndata:  c\n\n") == ("ab c", None, None)


def test_a_comment_among_objects_counts_for_nothing() -> None:
    lines = b': keep-alive\n{"response": "a", "done": false}\n\n:\n{"response": "b", "done": true}\n'
    assert read_all("ndjson", lines) == ("ab", None, None)


def test_of_several_choices_the_first_one_is_the_answer() -> None:
    choices = [{"index": 1, "delta": {"content": "x"}}, {"index": 0, "delta": {"content": "a"}}]
    others = [{"index": 1, "delta": {"content": "y"}, "finish_reason": "length"}]
    body = "".join(f"data: {json.dumps({'choices': it})}\n\n" for it in (choices, others))
    assert read_all("sse", body.encode()) == ("a", None, None)


def test_an_error_in_a_choice_breaks_the_stream_off() -> None:
    choice = {"index": 0, "delta": {"content": ""}, "error": {"code": 502, "message": "gone"}}
    body = f"{chunk({'content': 'a'})}\n\ndata: {json.dumps({'choices': [choice]})}\n\n"
    assert read_all("sse", body.encode()) == ("a", None, ErrorCode.UPSTREAM_ERROR)


def test_parts_of_a_content_that_are_no_text_are_not_shown_though_they_have_some() -> None:
    parts = [{"type": "reasoning", "text": "Hm"}, {"type": "text", "text": "a"}]
    assert read_all("sse", (chunk({"content": parts}) + "\n\n").encode()) == ("a", None, None)


def test_text_in_the_beginning_of_a_block_is_shown() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}}
    body = "".join(f"event: {it['type']}\ndata: {json.dumps(it)}\n\n" for it in (start, delta))
    assert read_all("sse", body.encode()) == ("ab", None, None)


def test_an_endless_error_is_cut() -> None:
    parser = parser_for("ndjson")
    parser.feed(json.dumps({"error": {"message": "x" * 5000}}).encode() + b"\n")
    assert parser.fault is not None
    assert len(parser.fault.text) < 400


def test_an_error_that_is_null_is_none() -> None:
    assert read_all("sse", (chunk({"content": "a"}, error=None) + "\n\n").encode()) == ("a", None, None)


def test_a_finish_reason_error_breaks_the_stream_off_behind_its_text() -> None:
    body = (chunk({"content": "a"}, "error") + "\n\n").encode()
    assert read_all("sse", body) == ("a", None, ErrorCode.UPSTREAM_ERROR)


LIMIT = 64 * 1024


@pytest.mark.parametrize(
    ("format", "fits", "too_long"),
    [
        ("sse", b"data: " + b"x" * LIMIT + b"\n\n", b"data: " + b"x" * (LIMIT + 1) + b"\n\n"),
        ("sse", b"data: x\n" * (LIMIT // 2) + b"\n", b"data: x\n" * (LIMIT // 2 + 1) + b"\n"),
        ("sse", b":" + b"x" * (LIMIT - 1) + b"\ndata: x\n\n", b":" + b"x" * LIMIT * 2),
        ("ndjson", b'{"done":false,"response":"%s"}\n' % (b"x" * (LIMIT - 29)), b"{" + b"x" * LIMIT),
    ],
)
def test_a_line_and_an_event_have_at_most_64_kib(format: str, fits: bytes, too_long: bytes) -> None:
    text, _, fault = read_all(format, fits)
    assert "x" in text
    assert fault is None
    for size in (len(too_long), 1000, 7):
        pieces = [too_long[at : at + size] for at in range(0, len(too_long), size)]
        assert read_all(format, *pieces) == ("", None, ErrorCode.TOO_LARGE)


def test_plain_text_has_no_bound() -> None:
    text, _, fault = read_all("text", b"x" * LIMIT * 3)
    assert (len(text), fault) == (LIMIT * 3, None)


def test_a_line_of_64_kib_in_pieces_of_a_byte_takes_no_quadratic_time() -> None:
    parser = parser_for("sse")
    for _ in range(LIMIT):
        parser.feed(b"x")
    assert parser.fault is None


@pytest.mark.parametrize("deep", ["[", '{"a":'])
def test_json_as_deep_as_a_line_allows_is_no_object_of_any_provider(deep: str) -> None:
    body = b'{"a":' + deep.encode() * 12_000 + b"\n"
    assert read_all("ndjson", body) == ("", None, ErrorCode.VALIDATION_FAILED)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"a\u0000b", "a\ufffdb"),
        (r"a\ud83db", "a\ufffdb"),
        (r"a\ude00", "a\ufffd"),
        (r"\ud83d\ude00", SMILE),
        (r"\ud83d", "\ufffd"),
    ],
)
def test_what_no_database_keeps_becomes_a_replacement_character(escaped: str, text: str) -> None:
    body = b'{"done":false,"response":"' + escaped.encode() + b'"}\n'
    assert read_all("ndjson", body)[0] == text
    assert read_all("sse", b"data: " + body + b"\n")[0] == text


def test_a_character_in_two_halves_is_one() -> None:
    """JavaScript cuts strings between surrogates; JSON escapes them each in its own piece."""
    lines = [rb'{"done":false,"response":"a\ud83d"}', rb'{"done":false,"response":"\ude00b"}', b""]
    assert read_all("ndjson", b"\n".join(lines))[0] == f"a{SMILE}b"


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    for format, body in (("text", b"a\xffb\xe2\x82"), ("sse", b"data: a\xffb\xe2\x82\n\n")):
        assert read_all(format, body)[0] == "a\ufffdb\ufffd"


def test_a_byte_order_mark_hides_no_event() -> None:
    assert read_all("sse", b"\xef\xbb\xbfdata: a\n\n")[0] == "a"


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<think>a</think>b", "b"),
        ("a<think>b", "a"),
        ("<think></think>", ""),
        ("a <think>b</think> c<think>d</think>e", "a  ce"),
        ("<thin", "<thin"),
        ("a<thought>b", "a<thought>b"),
        ("<<think>a</think>b", "<b"),
        ("<think>a</thi</think>b", "b"),
        ("a</think>b", "a</think>b"),
        ("<think>a</thi", ""),
        (" \n<think>a</think>\n\n b ", "b "),
    ],
)
def test_what_stands_in_think_is_not_seen(text: str, visible: str) -> None:
    assert read_all("text", text.encode())[0] == visible
    assert read_all("text", *(letter.encode() for letter in text))[0] == visible


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["\u200b ", "\n\u200f", " salut "], ["", "", "\u200b\u200fsalut "]),
        (["\u200b", "\ufeff"], ["", ""]),
        (["\u200b" * 1000, "a"], ["", "\u200b" * 64 + "a"]),
        (["a", "\u200b", " "], ["a", "\u200b", " "]),
    ],
)
def test_nothing_is_shown_before_something_can_be_seen(pieces: list[str], shown: list[str]) -> None:
    parser = parser_for("text")
    assert [parser.feed(piece.encode()) for piece in pieces] == shown
    assert parser.close() == ""


def test_only_what_may_become_a_tag_waits() -> None:
    parser = parser_for("text")
    assert [parser.feed(piece) for piece in (b"a <", b"b", b"> <thi", b"s>")] == ["a ", "<b", "> ", "<this>"]


def test_reasoning_counts_as_a_sign_of_life_and_a_comment_does_not() -> None:
    parser = chat_completion_parser()
    for body, tokens in (
        (": keep-alive\n\n", 0),
        ('data: {"choices":[]}\n\n', 0),
        (chunk({"role": "assistant", "content": ""}) + "\n\n", 0),
        (chunk({"reasoning": "Hm"}) + "\n\n", 1),
        (chunk({"reasoning_content": "Hm"}) + "\n\n", 2),
        (chunk({"tool_calls": [{"index": 0}]}) + "\n\n", 3),
        (chunk({"content": "a"}) + "\n\n", 4),
        (chunk({}, "stop") + "\n\n", 4),
    ):
        parser.feed(body.encode())
        assert parser.tokens == tokens


def test_among_chat_completion_chunks_plain_text_has_no_place() -> None:
    assert read(chat_completion_parser(), b"data: Service unavailable\n\n", OPENAI.body())[0] == OPENAI.text
    result = read(chat_completion_parser(), b'data: {"choices":[{"del\n\n')
    assert result == ("", None, ErrorCode.VALIDATION_FAILED)


@pytest.mark.parametrize(
    ("content_type", "format", "known"),
    [
        ("text/plain", None, True),
        ("text/plain; charset=utf-8", None, True),
        ("Text/Event-Stream;charset=UTF-8", None, True),
        ("application/x-ndjson", None, True),
        ("application/json", None, False),
        ("", None, False),
        (None, None, False),
        (None, "text", True),
        ("application/json", "sse", True),
        ("application/json", "ndjson", True),
        ("text/plain", "xml", False),
    ],
)
def test_the_format_is_told_by_the_query_or_by_the_content_type(
    content_type: str | None, format: str | None, known: bool
) -> None:
    assert (make_parser(content_type, format) is not None) is known


@st.composite
def cut(draw: st.DrawFn, body: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


@given(st.sampled_from(list(RECORDED.values())), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_however_often_a_stream_is_cut_it_gives_the_same(
    recorded: Recorded, end: str, data: st.DataObject
) -> None:
    body = recorded.body(end)
    pieces = data.draw(cut(body))
    assert read_all(recorded.format, *pieces) == read_all(recorded.format, body)


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>/think \n")), max_size=6
)


@given(st.lists(TEXTS, max_size=4), st.data())
def test_any_text_comes_out_of_each_format_as_it_went_in(
    pieces: list[list[str]], data: st.DataObject
) -> None:
    texts = ["".join(piece) for piece in pieces]
    bodies = {
        "sse": "".join(chunk({"content": text}) + "\r\n\r\n" for text in texts),
        "ndjson": "".join(json.dumps({"done": False, "response": text}) + "\n" for text in texts),
        "text": "".join(texts),
    }
    expected = read_all("text", *(text.encode() for text in texts))[0]
    for format, body in bodies.items():
        assert read_all(format, *data.draw(cut(body.encode())))[0] == expected
    whole = "".join(texts)
    if shows_something(whole[:1]) and not set("<\0") & set(whole):
        assert expected == whole


@given(st.sampled_from(["text", "sse", "ndjson"]), st.lists(st.binary(), max_size=6))
def test_no_bytes_make_a_parser_fail_otherwise_than_by_its_fault(format: str, pieces: list[bytes]) -> None:
    text, _, _ = read_all(format, *pieces)
    assert not any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text)
