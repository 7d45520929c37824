import pytest

from server.protocol import CloseCode, ErrorCode, ai_id_of, ai_name_of, is_identifier, reconnects_after


@pytest.mark.parametrize(
    ("conversation_id", "ai_id"),
    [
        ("conv_kai_ai_alex", "ai_alex"),
        ("conv_user123_ai_alex", "ai_alex"),
        ("ai_alex", "ai_alex"),
        ("conv_hai_alex", "ai"),
        ("conv_ai_a_ai_b", "ai_b"),
        ("room", "ai"),
    ],
)
def test_the_ai_of_a_joined_conversation_is_its_last_ai_part(conversation_id: str, ai_id: str) -> None:
    assert ai_id_of(conversation_id) == ai_id


@pytest.mark.parametrize(
    ("ai_id", "name"),
    [
        ("ai_alex", "Alex"),
        ("ai_mary_ann", "Mary Ann"),
        ("zoe", "Zoe"),
        ("ai", "AI"),
        ("ai_", "AI"),
        ("_", "AI"),
    ],
)
def test_an_ai_without_a_name_is_called_after_its_id(ai_id: str, name: str) -> None:
    assert ai_name_of(ai_id) == name


@pytest.mark.parametrize("text", ["", "a" * 129, "a b", "a\n", "ä", "a/b", None])
def test_what_is_no_identifier_is_refused(text: str | None) -> None:
    assert not is_identifier(text)


def test_identifiers_of_up_to_128_allowed_characters_are_accepted() -> None:
    assert is_identifier("A-z0.9_:@" + "x" * 119)


@pytest.mark.parametrize(
    ("code", "name", "reconnects"),
    [
        (1000, "NORMAL", False),
        (1001, "GOING_AWAY", True),
        (1002, "PROTOCOL_ERROR", False),
        (1007, "INVALID_DATA", False),
        (1008, "POLICY_VIOLATION", False),
        (1009, "MESSAGE_TOO_BIG", False),
        (1011, "INTERNAL_ERROR", True),
        (1013, "TRY_AGAIN_LATER", True),
        (4001, "HEARTBEAT_TIMEOUT", True),
        (4002, "SLOW_CONSUMER", True),
        (4003, "TOKEN_EXPIRED", True),
        (4500, "REPLACED", False),
    ],
)
def test_a_close_code_has_its_name_and_tells_whether_to_reconnect(
    code: int, name: str, reconnects: bool
) -> None:
    assert (CloseCode(code).name, reconnects_after(code)) == (name, reconnects)


@pytest.mark.parametrize(("code", "reconnects"), [(1005, True), (1006, True), (4499, True), (4999, False)])
def test_of_a_close_code_that_is_not_in_the_table_the_range_decides(code: int, reconnects: bool) -> None:
    assert reconnects_after(code) is reconnects


def test_the_codes_of_errors_are_those_of_the_contract_and_only_passing_faults_are_retryable() -> None:
    final = {
        "invalid_json",
        "invalid_frame",
        "validation_failed",
        "empty_message",
        "message_too_long",
        "unknown_type",
        "not_authorized",
        "message_id_conflict",
    }
    passing = {"rate_limited", "store_unavailable", "outcome_unknown", "shutting_down", "internal_error"}
    passing_of_rest = {"upstream_error"}
    of_rest = {"unauthorized", "forbidden", "not_found", "conflict", "too_large"}
    assert {str(code) for code in ErrorCode} == final | passing | passing_of_rest | of_rest
    assert {str(code) for code in ErrorCode if code.retryable} == passing | passing_of_rest
