"""Each message is one of its own, unless the model's template is strict."""

import pytest

from server.ai.chat_messages import Manners, chat_messages
from server.core.turn_rules import Turn
from server.protocol import MessageType
from tests.server.ai.responder_contract import message, turn

AI, USER = MessageType.AI_RESPONSE, MessageType.CHAT_MESSAGE


def said(prompt: str, to: Turn, manners: Manners) -> list[tuple[str, str]]:
    return [(it["role"], it["content"]) for it in chat_messages(prompt, to, manners)]


GREETED = turn(
    "One", "Two", history=[message(1, AI, "Hi!"), message(2, AI, "I am Alex."), message(3, USER, "Oh")]
)


def test_each_message_is_one_of_its_own() -> None:
    assert said("Be Alex.", GREETED, Manners()) == [
        ("system", "Be Alex."),
        ("assistant", "Hi!"),
        ("assistant", "I am Alex."),
        ("user", "Oh"),
        ("user", "One"),
        ("user", "Two"),
    ]


def test_a_model_that_wants_turns_gets_them_and_the_user_begins() -> None:
    assert said("Be Alex.", GREETED, Manners(takes_turns=True)) == [
        ("system", "Be Alex."),
        ("user", "..."),
        ("assistant", "Hi!\nI am Alex."),
        ("user", "Oh\nOne\nTwo"),
    ]
    assert said("", turn("One", "Two"), Manners(takes_turns=True)) == [("user", "One\nTwo")]


def test_a_model_without_a_system_role_gets_the_prompt_from_the_user() -> None:
    assert said("Be Alex.", GREETED, Manners(has_system=False)) == [
        ("user", "Be Alex."),
        ("assistant", "Hi!\nI am Alex."),
        ("user", "Oh\nOne\nTwo"),
    ]
    assert said("", GREETED, Manners(has_system=False)) == said("", GREETED, Manners())


TURNS, NO_SYSTEM = Manners(takes_turns=True), Manners(has_system=False)


@pytest.mark.parametrize(
    ("words", "learned"),
    [
        ("Conversation roles must alternate user/assistant/user/assistant/...", TURNS),
        ("After the optional system message, conversation roles must alternate user and assistant", TURNS),
        ("user or tool message(s) should alternate with assistant message(s)", TURNS),
        ("deepseek-reasoner does not support successive user or assistant messages", TURNS),
        ("jinja: System role not supported", NO_SYSTEM),
        ("system messages are not supported by this model", NO_SYSTEM),
        ("model not found", Manners()),
        ("the system is overloaded", Manners()),
    ],
)
def test_what_a_model_wants_is_learnt_from_its_refusal(words: str, learned: Manners) -> None:
    assert Manners().after(words) == learned
    assert learned.after("anything else") == learned
