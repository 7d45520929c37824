"""Secrets that others repeat are told nobody, whole or cut."""

import pytest

from server.core.redaction import redacted

SECRET = "sk-abcdef"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the key sk-abcdef, sk-abcdef", "the key ***, ***"),
        ("the key sk-abcde", "the key ***"),
        ("the key sk-a", "the key ***"),
        ("the key sk-", "the key sk-"),
        ("sk-abcde is no key", "sk-abcde is no key"),
        ("", ""),
    ],
)
def test_a_secret_and_its_cut_beginning_at_the_end_are_not_told(text: str, told: str) -> None:
    assert redacted(text, [SECRET]) == told


def test_each_of_several_secrets_is_taken_out_and_an_empty_one_is_none() -> None:
    assert redacted("ab12 and cd34", ["", "ab12", "cd34"]) == "*** and ***"
