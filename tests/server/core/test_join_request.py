from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.join_request import JoinRequest, Refusal, read_join_request, read_query
from server.protocol import CloseCode


def test_a_whole_request_is_read() -> None:
    query = {
        "conversation_id": "c",
        "client_id": "d",
        "session_id": "s",
        "last_seq": "12",
        "epoch": "e",
        "x": "y",
    }
    assert read_join_request("kai", query, "127.0.0.1") == JoinRequest(
        "kai", "c", "d", "s", 12, "e", "127.0.0.1"
    )


def test_only_the_conversation_is_required() -> None:
    expected = JoinRequest("kai", "c", None, None, None, None, "127.0.0.1")
    assert read_join_request("kai", {"conversation_id": "c"}, "127.0.0.1") == expected


@pytest.mark.parametrize(
    ("user_id", "query", "named"),
    [
        ("", {"conversation_id": "c"}, "user_id"),
        ("a b", {"conversation_id": "c"}, "user_id"),
        ("é", {"conversation_id": "c"}, "user_id"),
        ("u" * 129, {"conversation_id": "c"}, "user_id"),
        (
            "..",
            {"conversation_id": "c"},
            "user_id must be 1 to 128 letters, digits or . _ : @ -, and not . or ..",
        ),
        ("server", {"conversation_id": "c"}, "user_id: is the server's own name"),
        ("kai", {}, "conversation_id"),
        ("kai", {"conversation_id": ""}, "conversation_id"),
        ("kai", {"conversation_id": "a/b"}, "conversation_id"),
        ("kai", {"conversation_id": "c", "client_id": ""}, "client_id"),
        ("kai", {"conversation_id": "c", "session_id": "a b"}, "session_id"),
        ("kai", {"conversation_id": "c", "last_seq": ""}, "last_seq"),
        ("kai", {"conversation_id": "c", "last_seq": "-1"}, "last_seq"),
        ("kai", {"conversation_id": "c", "last_seq": "1.5"}, "last_seq"),
        ("kai", {"conversation_id": "c", "last_seq": "x"}, "last_seq"),
        ("kai", {"conversation_id": "c", "last_seq": "٣"}, "last_seq"),
    ],
)
def test_what_is_missing_or_wrong_is_refused_by_name(user_id: str, query: dict[str, str], named: str) -> None:
    refusal = read_join_request(user_id, query, "127.0.0.1")
    assert isinstance(refusal, Refusal)
    assert refusal.code == CloseCode.POLICY_VIOLATION
    assert refusal.reason.startswith(named)
    assert len(refusal.reason.encode()) <= 123


def test_a_last_seq_beyond_all_numbers_is_just_beyond_every_log() -> None:
    request = read_join_request("kai", {"conversation_id": "c", "last_seq": "1" * 5000}, "127.0.0.1")
    assert isinstance(request, JoinRequest)
    assert request.last_seq is not None and 1 << 53 < request.last_seq < 1 << 63


@given(st.text("ab=&%+20; é", max_size=30))
def test_a_query_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert read_query(text) == dict(parse_qsl(text, keep_blank_values=True))
