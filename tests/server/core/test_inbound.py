import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.inbound import CLIENT_TYPES, EMPTY_MESSAGE, Rejection, check_text, read_frame
from server.protocol import ClientFrame, ErrorCode, MessageType, is_identifier


def read(frame: Any) -> ClientFrame | Rejection:
    return read_frame(json.dumps(frame).encode(), "c", 4000)


def chat(**fields: Any) -> dict[str, Any]:
    return {"type": "CHAT_MESSAGE", "message_id": "m1", "data": "hi"} | fields


def test_a_frame_is_read_and_what_is_unknown_in_it_ignored() -> None:
    frame = read(chat(conversation_id="c", colour="red", timestamp=7))
    assert isinstance(frame, ClientFrame)
    assert (frame.type, frame.message_id, frame.data) == ("CHAT_MESSAGE", "m1", "hi")


@pytest.mark.parametrize("type", ["TYPING_INDICATOR", "PING", "PONG"])
def test_signals_need_no_message_id(type: str) -> None:
    assert isinstance(read({"type": type}), ClientFrame)


@pytest.mark.parametrize("type", ["CHAT_MESSAGE", "READ_RECEIPT", "CANCEL_RESPONSE", "AUTH_REFRESH"])
def test_what_must_be_answered_needs_a_message_id(type: str) -> None:
    rejection = read({"type": type, "data": "hi"})
    assert isinstance(rejection, Rejection)
    assert (rejection.message_id, rejection.why.code) == (None, ErrorCode.INVALID_FRAME)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", ErrorCode.INVALID_JSON),
        (b"{", ErrorCode.INVALID_JSON),
        (b'{"type":"CHAT_MESSAGE","message_id":"m1","data":"\\ud800"}', ErrorCode.INVALID_JSON),
        (b"[" * 10_000, ErrorCode.INVALID_JSON),
        (b"[]", ErrorCode.INVALID_FRAME),
        (b"null", ErrorCode.INVALID_FRAME),
        (b'"text"', ErrorCode.INVALID_FRAME),
        (b'{"type":"CHAT_MESSAGE","message_id":7}', ErrorCode.INVALID_FRAME),
        (b'{"type":"CHAT_MESSAGE","message_id":"a b"}', ErrorCode.INVALID_FRAME),
        (b'{"type":"CHAT_MESSAGE","message_id":""}', ErrorCode.INVALID_FRAME),
        (b'{"type":"CHAT_MESSAGE","message_id":"' + b"m" * 129 + b'"}', ErrorCode.INVALID_FRAME),
        (b'{"type":"HELLO"}', ErrorCode.INVALID_FRAME),
        (b'{"type":"AI_RESPONSE","data":"x"}', ErrorCode.INVALID_FRAME),
        (b'{"type":"TYPING_INDICATOR","conversation_id":"other"}', ErrorCode.INVALID_FRAME),
        (b'{"type":"PING","data":' + b"9" * 5000 + b"}", ErrorCode.INVALID_JSON),
    ],
)
def test_what_has_no_usable_message_id_is_an_error(payload: bytes, code: ErrorCode) -> None:
    rejection = read_frame(payload, "c", 4000)
    assert isinstance(rejection, Rejection)
    assert (rejection.message_id, rejection.why.code) == (None, code)


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"type": None}, ErrorCode.VALIDATION_FAILED, "type"),
        ({"type": 7}, ErrorCode.VALIDATION_FAILED, "type"),
        ({"conversation_id": "a b"}, ErrorCode.VALIDATION_FAILED, "conversation_id"),
        ({"type": "HELLO"}, ErrorCode.UNKNOWN_TYPE, "HELLO"),
        ({"type": "chat_message"}, ErrorCode.UNKNOWN_TYPE, "chat_message"),
        ({"type": "AI_RESPONSE"}, ErrorCode.UNKNOWN_TYPE, "AI_RESPONSE"),
        ({"conversation_id": "other"}, ErrorCode.NOT_AUTHORIZED, "conversation_id"),
        ({"conversation_id": ".."}, ErrorCode.VALIDATION_FAILED, "conversation_id"),
        # What is not valid is not asked whether it is allowed.
        ({"conversation_id": "other", "data": " "}, ErrorCode.EMPTY_MESSAGE, "empty"),
        ({"conversation_id": "other", "data": "x" * 4001}, ErrorCode.MESSAGE_TOO_LONG, "4001"),
        (
            {"conversation_id": "other", "type": "READ_RECEIPT", "data": {"seq": 0}},
            ErrorCode.VALIDATION_FAILED,
            "data.seq",
        ),
    ],
)
def test_a_wrong_field_is_a_nack_that_names_it(fields: dict[str, Any], code: ErrorCode, named: str) -> None:
    rejection = read(chat(**fields))
    assert isinstance(rejection, Rejection)
    assert (rejection.message_id, rejection.why.code) == ("m1", code)
    assert named in rejection.why.text


@pytest.mark.parametrize("message_id", ["answer-1", "answer-12", "answer-12-2"])
def test_an_id_of_the_servers_answers_is_nobody_elses(message_id: str) -> None:
    rejection = read(chat(message_id=message_id))
    assert isinstance(rejection, Rejection)
    assert (rejection.message_id, rejection.why.code) == (message_id, ErrorCode.VALIDATION_FAILED)


@pytest.mark.parametrize("message_id", ["answer-", "answer-x", "my-answer-1", "answer-1-2-3", "Answer-1"])
def test_an_id_that_only_resembles_an_answers_is_free(message_id: str) -> None:
    assert isinstance(read(chat(message_id=message_id)), ClientFrame)


def test_a_missing_type_is_a_nack_that_names_it() -> None:
    rejection = read({"message_id": "m1"})
    assert isinstance(rejection, Rejection)
    assert rejection.why.text == "type: is required"


def test_of_duplicate_keys_the_last_counts() -> None:
    frame = read_frame(
        b'{"type":"PING","type":"CHAT_MESSAGE","message_id":"a","message_id":"b","data":"x"}', "c", 4000
    )
    assert isinstance(frame, ClientFrame)
    assert (frame.type, frame.message_id) == ("CHAT_MESSAGE", "b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
frames = st.fixed_dictionaries(
    {},
    optional={
        "type": json_values | st.sampled_from([str(type) for type in MessageType]),
        "message_id": json_values | st.just("m1"),
        "conversation_id": json_values | st.just("c"),
        "data": json_values,
        "timestamp": json_values,
    },
)


@given(st.binary() | (frames | json_values).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_frame_or_can_be_answered(payload: bytes) -> None:
    read = read_frame(payload, "c", 4000)
    if isinstance(read, Rejection):
        assert read.message_id is None or is_identifier(read.message_id)
        assert read.why.text and read.why.code.retryable is False
    else:
        assert read.type in CLIENT_TYPES
        assert read.message_id is None or is_identifier(read.message_id)


@pytest.mark.parametrize("text", ["a", " a ", "é", "😀" * 10, "x" * 10])
def test_a_text_of_1_to_the_most_code_points_is_fine(text: str) -> None:
    assert check_text(text, 10) is None


@pytest.mark.parametrize("text", ["", " ", "\n\t  ", "\u00a0\u2003"])
def test_nothing_but_white_space_is_empty(text: str) -> None:
    assert check_text(text, 10) == EMPTY_MESSAGE


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (None, ErrorCode.VALIDATION_FAILED, "data: is required"),
        (7, ErrorCode.VALIDATION_FAILED, "data: must be a string"),
        ({"text": "x"}, ErrorCode.VALIDATION_FAILED, "data: must be a string"),
        ("a\0b", ErrorCode.VALIDATION_FAILED, "NUL"),
        ("😀" * 11, ErrorCode.MESSAGE_TOO_LONG, "11 characters, at most 10"),
    ],
)
def test_any_other_data_is_refused_with_the_reason(data: Any, code: ErrorCode, named: str) -> None:
    refused = check_text(data, 10)
    assert refused is not None
    assert refused.code is code
    assert named in refused.text
