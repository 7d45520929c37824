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


def test_close_codes_below_4500_from_4000_on_reconnect() -> None:
    assert reconnects_after(CloseCode.SLOW_CONSUMER)
    assert reconnects_after(4499)
    assert not reconnects_after(CloseCode.REPLACED)
    assert reconnects_after(1006)
    assert not reconnects_after(CloseCode.POLICY_VIOLATION)


def test_only_passing_faults_are_retryable() -> None:
    assert ErrorCode.STORE_UNAVAILABLE.retryable
    assert not ErrorCode.MESSAGE_ID_CONFLICT.retryable
